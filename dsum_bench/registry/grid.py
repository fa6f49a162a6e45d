"""Grids of settings as they are typed: ``"lr=1e-4,2e-4 r=16,32"``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from typing import Any

from dsum_bench.errors import UserError

Axes = Mapping[str, Sequence[Any]]
"""Key -> the values it takes."""


def axes(text: str) -> dict[str, tuple[str, ...]]:
    """The keys of a grid with their values.

    Raises:
        UserError: a part that is not KEY=VALUE,VALUE, or a key twice.
    """
    found: dict[str, tuple[str, ...]] = {}
    for part in text.split():
        key, equals, values = part.partition("=")
        if not equals or not key or not all(values.split(",")):
            raise UserError(f"--sweep: '{part}' must be KEY=VALUE,VALUE")
        if key in found:
            raise UserError(f"--sweep: '{key}' is given twice; put its values together: {key}=VALUE,VALUE")
        found[key] = tuple(dict.fromkeys(values.split(",")))
    if not found:
        raise UserError('--sweep: write KEY=VALUE,VALUE, such as "prompt=a,b decoding=greedy,beam4"')
    return found


def points(found: Axes) -> list[dict[str, Any]]:
    """Every combination of the values, the last key changing fastest."""
    return [dict(zip(found, values, strict=True)) for values in product(*found.values())]


def grid(text: str) -> list[tuple[str, ...]]:
    """Settings of every point of a grid: ``"lr=1e-4,2e-4 r=16,32"`` gives four pairs of ``key=value``.

    Raises:
        UserError: a part that is not KEY=VALUE,VALUE.
    """
    return [tuple(f"{key}={value}" for key, value in point.items()) for point in points(axes(text))]
