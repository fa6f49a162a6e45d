"""Training texts, built by the adapter and prompt that screening uses. Labels stand on the summary alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from dsum_bench.adapters.base import Adapter
from dsum_bench.errors import ModelError
from dsum_bench.spec import Sample

IGNORED = -100
"""The label that a loss passes over."""


@dataclass(frozen=True, slots=True)
class TrainingText:
    """One row of training. For a decoder, input_ids are prompt and summary and labels as long; for an
    encoder-decoder, input_ids are what the encoder reads and labels what the decoder writes.

    trimmed: turns that the dialogue lost to max_tokens.
    """

    sample_id: str
    input_ids: tuple[int, ...]
    labels: tuple[int, ...]
    trimmed: int = 0


def build_texts(
    adapter: Adapter, samples: Sequence[Sample], max_tokens: int, tell: Callable[[int], None] = lambda done: None
) -> list[TrainingText]:
    """A text for every reference of every sample. A dialogue that is too long loses turns, its summary nothing.

    tell: is given the number of samples done, now and then.

    Raises:
        ModelError: a summary, or the prompt without a dialogue, does not fit in max_tokens.
    """
    before = adapter.context
    limit = min(max_tokens, before.max_prompt_tokens or max_tokens)
    texts = []
    try:
        for done, sample in enumerate(samples):
            for reference in sample.references:
                texts.append(_text(adapter, sample, reference, max_tokens, limit))
            if done % 100 == 0:
                tell(done)
    finally:
        adapter.context = before
    return texts


def _text(adapter: Adapter, sample: Sample, reference: str, max_tokens: int, limit: int) -> TrainingText:
    target = adapter.target(reference)
    shared = adapter.architecture == "decoder"
    room = min(limit, max_tokens - len(target)) if shared else limit
    if room < 1 or len(target) > max_tokens:
        raise ModelError(
            f"sample '{sample.id}': its summary alone takes {len(target)} of {max_tokens} tokens; raise max_tokens"
        )
    adapter.context = replace(adapter.context, max_prompt_tokens=room)
    prompt = adapter.prompt(sample)
    if not shared:
        return TrainingText(sample.id, prompt.token_ids, target, prompt.trimmed_turns)
    labels = (IGNORED,) * len(prompt.token_ids) + target
    return TrainingText(sample.id, prompt.token_ids + target, labels, prompt.trimmed_turns)
