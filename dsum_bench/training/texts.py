"""Training texts, built by the adapter and prompt that screening uses. Labels stand on the summary alone."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from dsum_bench.adapters.base import Adapter
from dsum_bench.errors import ModelError
from dsum_bench.spec import Sample

IGNORED = -100
"""The label that a loss passes over."""
ROOM = 128
"""Tokens of a dialogue that advice leaves room for."""


@dataclass(frozen=True, slots=True)
class TrainingText:
    """One row of training. For a decoder, input_ids are prompt and summary and labels as long; for an
    encoder-decoder, input_ids are what the encoder reads and labels what the decoder writes.

    trimmed: turns that the dialogue lost to max_tokens. rejected: of a pair, the worse summary after the same prompt.
    """

    sample_id: str
    input_ids: tuple[int, ...]
    labels: tuple[int, ...]
    trimmed: int = 0
    rejected: TrainingText | None = None


def build_texts(
    adapter: Adapter, samples: Sequence[Sample], max_tokens: int, tell: Callable[[int], None] = lambda done: None
) -> list[TrainingText]:
    """A text for every reference of every sample. A dialogue that is too long loses turns, its summary nothing.

    tell: is given the number of samples done, now and then.

    Raises:
        ModelError: a summary and the prompt around a dialogue do not fit in max_tokens. Names the row.
    """
    before = adapter.context
    limit = min(max_tokens, before.max_prompt_tokens or max_tokens)
    texts: list[TrainingText] = []
    unfit: list[tuple[int, Sample, int]] = []
    try:
        bare = 0
        for row, sample in enumerate(samples, start=1):
            bare = _bare(adapter, sample) if adapter.places or row == 1 else bare
            for reference in sample.references:
                target = adapter.target(reference)
                needs = bare + len(target) if adapter.architecture == "decoder" else max(bare, len(target))
                if needs > max_tokens or bare > limit:
                    unfit.append((row, sample, needs))
                    continue
                texts.append(_text(adapter, sample, target, max_tokens, limit))
            if row % 100 == 1:
                tell(row - 1)
    finally:
        adapter.context = before
    if unfit:
        raise ModelError(_told(unfit, max_tokens))
    return texts


def _bare(adapter: Adapter, sample: Sample) -> int:
    """Tokens of a prompt without its dialogue."""
    adapter.context = replace(adapter.context, max_prompt_tokens=None)
    return len(adapter.prompt(replace(sample, dialogue="", examples=())).token_ids)


def _told(unfit: Sequence[tuple[int, Sample, int]], max_tokens: int) -> str:
    row, sample, needs = max(unfit, key=lambda found: found[2])
    more = f" ({len(unfit) - 1} more rows do not fit either)" if len(unfit) > 1 else ""
    return (
        f"row {row}, sample '{sample.id}': its summary and the prompt around a dialogue take {needs} tokens, and there "
        f"is room for {max_tokens}{more}; use --set max_tokens={needs + ROOM} where the model takes as many, or leave "
        "the row out"
    )


def _text(adapter: Adapter, sample: Sample, target: tuple[int, ...], max_tokens: int, limit: int) -> TrainingText:
    shared = adapter.architecture == "decoder"
    room = min(limit, max_tokens - len(target)) if shared else limit
    adapter.context = replace(adapter.context, max_prompt_tokens=room)
    prompt = adapter.prompt(sample)
    if not shared:
        return TrainingText(sample.id, prompt.token_ids, target, prompt.trimmed_turns)
    labels = (IGNORED,) * len(prompt.token_ids) + target
    return TrainingText(sample.id, prompt.token_ids + target, labels, prompt.trimmed_turns)
