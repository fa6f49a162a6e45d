"""The fields of a prompt: columns of the dataset, and what is made from the dialogue. Pure functions."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from dsum_bench.dialogue import speakers
from dsum_bench.errors import ModelError
from dsum_bench.spec import LengthRule, Sample

LENGTH, SPEAKERS, TOPIC = "length", "speakers", "topic"
DERIVED = (LENGTH, SPEAKERS)
"""Fields that every sample has: they are made from its dialogue."""


def length_of(dialogue: str, rule: LengthRule) -> int:
    """Characters that a summary of a dialogue is to have: ``base + share * characters of the dialogue``, kept between
    ``least`` and ``most`` and rounded to whole ``step``s, at least one."""
    wanted = min(max(rule.base + rule.share * len(dialogue), rule.least), rule.most)
    return max(int(wanted / rule.step + 0.5), 1) * rule.step


def of_data(sample: Sample) -> Mapping[str, str]:
    """The fields that a sample has from its row."""
    return {**sample.fields, TOPIC: sample.topic} if sample.topic is not None else sample.fields


def values(names: Collection[str], sample: Sample, rule: LengthRule | None) -> dict[str, str]:
    """The fields of these names. rule: of ``{length}``, None for the usual one.

    Raises:
        ModelError: the sample lacks one.
    """
    found = {name: value for name, value in of_data(sample).items() if name in names and name not in DERIVED}
    if LENGTH in names:
        found[LENGTH] = str(length_of(sample.dialogue, rule or LengthRule()))
    if SPEAKERS in names:
        found[SPEAKERS] = ", ".join(speakers(sample.dialogue, sample.turns))
    missing = next((name for name in names if name not in found), None)
    if missing is not None:
        raise ModelError(f"sample '{sample.id}' has no field '{missing}'")
    return found
