"""Some models of the zoo, by family and by size."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal

from dsum_bench.errors import UserError, suggestion
from dsum_bench.spec import ModelSpec

_UNITS = {"": 1, "K": 10**3, "M": 10**6, "B": 10**9, "T": 10**12}


@dataclass(frozen=True, slots=True)
class Chosen:
    """Models that fit, in the order of the zoo. unsized: names of those left out because their size is unknown."""

    models: tuple[ModelSpec, ...]
    unsized: tuple[str, ...] = ()

    @property
    def omission(self) -> str:
        """What to say of the models left out, '' where there are none."""
        names = ", ".join(self.unsized)
        return f"left out because their size is unknown: {names}" if names else ""


def count_of_weights(value: object) -> int | None:
    """A number of weights: ``"3.21B"`` is 3,210,000,000, ``"500M"`` 500,000,000; None for what is none."""
    if isinstance(value, int) and not isinstance(value, bool):
        return value if value >= 0 else None
    found = re.fullmatch(r"(\d+(?:\.\d+)?) ?([KMBT]?)", value.strip().upper()) if isinstance(value, str) else None
    return int(Decimal(found[1]) * _UNITS[found[2]]) if found else None


def choose(models: Iterable[ModelSpec], family: str | None = None, max_params: int | str | None = None) -> Chosen:
    """The models of a family with at most max_params weights; None asks for nothing.

    family: name of an adapter, or what a model's name or its checkpoint's begins with, in any case.
    max_params: a number, or a string such as ``"4B"`` or ``"500M"``.

    Raises:
        UserError: not a size, or no model fits.
    """
    found = list(models)
    if family is not None:
        found = _of_family(found, family)
    if max_params is None:
        return Chosen(tuple(found))
    most = count_of_weights(max_params)
    if most is None:
        raise UserError(f"'{max_params}' is not a valid model size; give a number of parameters such as 4B or 500M")
    fitting = tuple(m for m in found if m.params is not None and m.params <= most)
    if not fitting:
        raise UserError(f"no model{f' of family {family}' if family else ''} has {max_params} parameters or fewer")
    return Chosen(fitting, tuple(m.name for m in found if m.params is None))


def _of_family(models: list[ModelSpec], family: str) -> list[ModelSpec]:
    wanted = family.strip().lower()
    found = [m for m in models if wanted and (m.adapter.lower() == wanted or _named(m, wanted))]
    if not found:
        known = {m.adapter for m in models} | {_first_word(m.name) for m in models}
        raise UserError(f"no model is of family '{family}'{suggestion(family, sorted(known))}")
    return found


def _named(model: ModelSpec, wanted: str) -> bool:
    checkpoints = (s.rpartition("/")[2] for s in model.source if not s.startswith("pypi:"))
    return any(name.lower().startswith(wanted) for name in (model.name, *checkpoints))


def _first_word(name: str) -> str:
    found = re.match(r"[a-z]+", name)
    return found[0] if found else name
