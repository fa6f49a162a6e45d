"""What a search may change in a recipe, as typed: ``"lr=1e-5..1e-3:log r=8,16,32 epochs=1..5"``. No optuna."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, get_type_hints

from dsum_bench.errors import UserError, suggestion
from dsum_bench.training.params import TrainingParams

LOG = ":log"
DEFAULTS = {"adapter": "lr=5e-5..1e-3:log r=8,16,32", "checkpoint": "lr=5e-6..2e-4:log warmup=0.0,0.1,0.2"}
"""Spaces where none is given, by what a trainer keeps."""


@dataclass(frozen=True, slots=True)
class Axis:
    """One parameter. choices: as typed, or () for a range from low to high.

    integer: only whole values. log: even steps multiply.
    """

    key: str
    choices: tuple[str, ...] = ()
    low: float = 0.0
    high: float = 0.0
    integer: bool = False
    log: bool = False


def axes(text: str, params: type[TrainingParams]) -> tuple[Axis, ...]:
    """The axes of a space.

    params: of the recipe's trainer.

    Raises:
        UserError: an unknown key, a key given twice, or values that are neither a list nor a range of numbers.
    """
    known = [field.name for field in fields(params)]
    hints = get_type_hints(params)
    found: dict[str, Axis] = {}
    for part in text.split():
        key, equals, values = part.partition("=")
        if not equals or not values:
            raise UserError(f"--space: '{part}' must be KEY=LOW..HIGH, KEY=LOW..HIGH:log or KEY=VALUE,VALUE")
        if key not in known:
            raise UserError(f"--space: unknown key '{key}'{suggestion(key, known)}")
        if key in found:
            raise UserError(f"--space: '{key}' is given twice")
        found[key] = _range(part, key, values, hints[key]) if ".." in values else _choices(part, key, values)
    if not found:
        raise UserError("--space names no parameter")
    return tuple(found.values())


def _choices(part: str, key: str, values: str) -> Axis:
    choices = tuple(values.split(","))
    if not all(choices) or len(set(choices)) < len(choices):
        raise UserError(f"--space: '{part}' has an empty value, or one twice")
    return Axis(key, choices)


def _range(part: str, key: str, values: str, hint: Any) -> Axis:
    log = values.endswith(LOG)
    ends = values.removesuffix(LOG).split("..")
    try:
        low, high = (float(end) for end in ends)
    except ValueError:
        raise UserError(f"--space: '{part}' must be KEY=LOW..HIGH of two numbers") from None
    integer = hint is int
    if not low < high or (log and low <= 0) or (integer and not (low.is_integer() and high.is_integer())):
        needs = "two integers" if integer else "two numbers"
        raise UserError(f"--space: '{part}' needs {needs}, the lower first{', above 0' if log else ''}")
    return Axis(key, (), low, high, integer, log)


def settings(values: Mapping[str, Any]) -> tuple[str, ...]:
    """Chosen values as ``key=value``."""
    return tuple(f"{key}={value}" for key, value in values.items())
