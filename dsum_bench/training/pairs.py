"""Training rows as pairs of summaries, the better first: from stored runs to texts. No torch."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from dsum_bench.adapters.base import Adapter
from dsum_bench.errors import UserError
from dsum_bench.fingerprints import dialogue_digest
from dsum_bench.spec import Preferences, RecipeSpec, Sample
from dsum_bench.training.base import Trainer
from dsum_bench.training.texts import TrainingText, build_texts

LEAST = 8
"""Pairs below which there is nothing to learn."""


def applied(preferences: Preferences, samples: Sequence[Sample]) -> tuple[Sample, ...]:
    """The samples whose dialogue has a pair, with it as their two references, the better first.

    Raises:
        UserError: there are too few.
    """
    keyed = ((sample, preferences.pairs.get(dialogue_digest(sample.dialogue))) for sample in samples)
    found = tuple(replace(sample, references=pair) for sample, pair in keyed if pair is not None)
    if len(found) < LEAST:
        raise UserError(
            f"--preferences: {len(found)} training dialogues have a pair, and {LEAST} are needed at least; there are "
            f"{preferences}; screen the models on more rows of the training split"
        )
    return found


def check(recipe: RecipeSpec, trainer: type[Trainer], preferences: Preferences | None) -> None:
    """Refuse a trainer that learns something else than what it is given.

    Raises:
        UserError: pairs and a trainer of summaries, or the reverse, or packed pairs.
    """
    learns_pairs = trainer.learns == "pairs"
    if preferences is None and learns_pairs:
        raise UserError(f"recipe '{recipe.name}' learns which summary is better: give --preferences RUN, twice or more")
    if preferences is not None and not learns_pairs:
        raise UserError(f"recipe '{recipe.name}' learns summaries, not --preferences; use --recipe dpo or orpo")


def recipe_for(quantization: str) -> str:
    """The recipe of pairs where none is named, for a base held as the model's own recipe holds it."""
    return "qdpo" if quantization == "nf4" else "dpo"


def build_pairs(
    adapter: Adapter, samples: Sequence[Sample], max_tokens: int, tell: Callable[[int], None] = lambda done: None
) -> list[TrainingText]:
    """A text for every sample, with the worse summary beside it. Both follow the same prompt: where a dialogue has to
    lose turns, it loses them for the longer of the two.

    Raises:
        ModelError: as for ``build_texts``.
    """
    found = []
    longer = [max(s.references, key=lambda text: len(adapter.target(text))) for s in samples]
    prompts = build_texts(
        adapter, [replace(s, references=(text,)) for s, text in zip(samples, longer, strict=True)], max_tokens, tell
    )
    for sample, text, target in zip(samples, prompts, longer, strict=True):
        better, worse = (_with(text, adapter, target, summary) for summary in sample.references)
        found.append(replace(better, rejected=worse))
    return found


def _with(text: TrainingText, adapter: Adapter, had: str, wanted: str) -> TrainingText:
    """The text with another summary after, or for an encoder-decoder beside, the same prompt."""
    target = adapter.target(wanted)
    if adapter.architecture != "decoder":
        return replace(text, labels=target)
    prompt = len(text.input_ids) - len(adapter.target(had))
    return replace(text, input_ids=text.input_ids[:prompt] + target, labels=text.labels[:prompt] + target)
