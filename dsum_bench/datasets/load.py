"""Samples of a dataset, checked row by row, and the choice of some of them."""

from __future__ import annotations

import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dsum_bench.characters import accidents, repaired, visible
from dsum_bench.datasets.base import DatasetReader, Row
from dsum_bench.datasets.nested import dialogue_of
from dsum_bench.errors import UserError, did_you_mean, plugin_code
from dsum_bench.spec import DatasetSpec, Sample

if TYPE_CHECKING:
    from dsum_bench.plugins import Plugins


REQUIRED = ("id", "dialogue", "summary")
OWN = (*REQUIRED, "topic")
"""Our names of columns that a sample has places of their own for."""


@dataclass(frozen=True, slots=True)
class Selection:
    """Samples chosen from a split. label: ``all``, ``first 50`` or ``50 of 499, seed 42``."""

    samples: tuple[Sample, ...]
    label: str


def load(spec: DatasetSpec, plugins: Plugins, split: str, references: bool = True) -> tuple[Sample, ...]:
    """The samples of a split, in file order.

    ``\\r\\n`` becomes ``\\n``; NUL, byte order marks and the whitespace around a field go. Nothing else is changed.

    references: every sample must have one; otherwise those there are are taken.

    Raises:
        UserError: unknown format or split, missing column, two rows with one id, empty dialogue, empty
            reference, a value that is not a string, no rows; names file, row and column.
    """
    reader = plugins.get("dataset", spec.format, f"{spec.origin}: dataset '{spec.name}'")
    samples: list[Sample] = []
    places: dict[str, str] = {}
    opened, rows = _rows(reader, spec, split)
    for row in rows:
        sample = _sample(row, spec, split, references)
        if sample.id in places:
            column = _columns(spec, "id")[0]
            raise UserError(
                f"{row.where}, column '{column}': duplicate id '{sample.id}', first seen in {places[sample.id]}"
            )
        places[sample.id] = row.where
        samples.append(sample)
    if rows:
        _check_columns(rows, spec, split, references)
        _check_fields(rows, spec, split, opened)
    if not samples:
        raise UserError(f"{spec.path.replace('{split}', split)} has no rows (dataset '{spec.name}', split '{split}')")
    return tuple(samples)


def _rows(reader: type[DatasetReader], spec: DatasetSpec, split: str) -> tuple[DatasetReader, list[Row]]:
    try:
        with plugin_code():
            opened = reader(spec)
            return opened, list(opened.rows(split))
    except UserError:
        raise
    except Exception as error:  # a reader may be a plugin
        raise UserError(
            f"dataset '{spec.name}', split '{split}': reader '{spec.format}' failed: {type(error).__name__}: {error}"
        ) from error


def _sample(row: Row, spec: DatasetSpec, split: str, references: bool) -> Sample:
    (id_column,), (dialogue_column,) = _columns(spec, "id"), _columns(spec, "dialogue")
    found = row.values.get(id_column)
    number = isinstance(found, int) and not isinstance(found, bool)  # JSON data often numbers its rows
    sample_id = str(found) if number else _text(row, id_column, spec, "id")
    dialogue = _dialogue(row, dialogue_column, spec)
    summaries = _references(row, spec, split, references)
    return Sample(
        sample_id,
        dialogue,
        summaries,
        _topic(row, spec),
        spec.turns,
        _repaired(row, spec),
        _fields(row, spec),
        row.where,
    )


def _fields(row: Row, spec: DatasetSpec) -> dict[str, str]:
    """What a prompt may say of the sample besides its dialogue: columns under the name that the entry gives them, and
    all others under their own."""
    named = {ours: _columns(spec, ours)[0] for ours in spec.columns if ours not in OWN}
    taken = {column for ours in OWN for column in _columns(spec, ours)} | set(named.values())
    columns = {name: name for name in row.values if name not in taken} | named
    found = {name: _plain(row.values.get(column), row, column) for name, column in columns.items()}
    return {name: value for name, value in found.items() if value}


def _plain(value: object, row: Row, column: str) -> str:
    """A field as a string, a list joined by commas; '' for nothing and for what has no plain form."""
    if isinstance(value, bool) or _absent(value):
        return ""
    if isinstance(value, str):
        return _checked(value, row, column)
    if isinstance(value, int | float):
        return str(value)
    parts = [_plain(part, row, column) for part in value] if isinstance(value, list) else []
    return ", ".join(parts) if all(parts) else ""


def _repaired(row: Row, spec: DatasetSpec) -> tuple[str, ...]:
    """What was taken out of dialogue and references."""
    values = [row.values.get(c) for ours in ("dialogue", "summary") for c in _columns(spec, ours)]
    texts = [t for value in values for t in (value if isinstance(value, list) else [value]) if isinstance(t, str)]
    return accidents("".join(texts))


def _columns(spec: DatasetSpec, ours: str) -> tuple[str, ...]:
    named = spec.columns.get(ours, ours)
    return (named,) if isinstance(named, str) else tuple(named)


def _text(row: Row, column: str, spec: DatasetSpec, ours: str) -> str:
    if column not in row.values:
        raise _missing(row, column, spec, ours)
    return _checked(row.values[column], row, column)


def _dialogue(row: Row, column: str, spec: DatasetSpec) -> str:
    """A dialogue as it stands, or as a list of its turns."""
    value = row.values.get(column)
    turns = dialogue_of(value) if isinstance(value, list) else None
    return _text(row, column, spec, "dialogue") if turns is None else _checked(turns, row, column)


def _missing(row: Row, column: str, spec: DatasetSpec, ours: str, advice: str = "") -> UserError:
    there = ", ".join(f"'{visible(name)}'" for name in row.values) or "none"
    advice = advice or f'; name the right one in the dataset\'s entry: columns = {{ {ours} = "..." }}'
    return UserError(f"{row.where}: no column '{column}'; there are {there}{advice}{did_you_mean(column, row.values)}")


def _checked(value: object, row: Row, column: str) -> str:
    where = f"{row.where}, column '{column}'"
    if not isinstance(value, str):
        shown = json.dumps(value, ensure_ascii=False, default=str)
        raise UserError(f"{where}: must be a string, not {shown if len(shown) < 40 else shown[:37] + '...'}")
    text = repaired(value).replace("\r\n", "\n").strip()
    if not text:
        raise UserError(f"{where}: empty; fill it in or remove the row")
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:
        raise UserError(f"{where}: contains a lone surrogate, which is not a character") from None
    return text


def _references(row: Row, spec: DatasetSpec, split: str, needed: bool) -> tuple[str, ...]:
    """The references there are; a row may lack some of several, but not all where they are needed."""
    found: list[str] = []
    columns = _columns(spec, "summary")
    for column in columns:
        value = row.values.get(column)
        if _absent(value):
            continue
        texts = value if isinstance(value, list) else [value]
        found += [_checked(text, row, column) for text in texts]
    if needed and not found:
        column = next((c for c in columns if c not in row.values), columns[0])
        if column not in row.values:
            raise _missing(row, column, spec, "summary", _without_references(spec, split))
        if row.values[column] == []:
            raise UserError(f"{row.where}, column '{column}': empty{_without_references(spec, split)}")
        _checked(row.values[column], row, column)
    return tuple(found)


def _absent(value: object) -> bool:
    return value is None or value == [] or (isinstance(value, str) and not repaired(value).strip())


def _check_columns(rows: Sequence[Row], spec: DatasetSpec, split: str, references: bool) -> None:
    """Refuse a column of references that no row has where they are needed: its name is wrong."""
    for column in _columns(spec, "summary"):
        if references and not any(column in row.values for row in rows):
            raise _missing(rows[0], column, spec, "summary", _without_references(spec, split))


def _without_references(spec: DatasetSpec, split: str) -> str:
    return (
        f"; scores need reference summaries: choose another split than '{split}', or `score` with a metric that needs "
        f"none (--metric facts), or set the right column in the entry of dataset '{spec.name}': "
        'columns = { summary = "..." }'
    )


def _check_fields(rows: Sequence[Row], spec: DatasetSpec, split: str, reader: DatasetReader) -> None:
    """Refuse a column of a topic or another field that the entry names and no split has. Often only the training split
    has topics."""
    for ours in spec.columns:
        (column, *_) = _columns(spec, ours)
        if ours in REQUIRED or any(column in row.values for row in rows):
            continue
        others = (next(reader.rows(other), None) for other in reader.splits() if other != split)
        if not any(row is not None and column in row.values for row in others):
            raise _missing(rows[0], column, spec, ours)


def _topic(row: Row, spec: DatasetSpec) -> str | None:
    (column,) = _columns(spec, "topic")
    value = row.values.get(column)
    return None if _absent(value) else _checked(value, row, column)


# -- choosing -----------------------------------------------------------------------------------------------


def select(samples: Sequence[Sample], limit: int | None, sample: int | None, seed: int) -> Selection:
    """The first ``limit`` samples, or ``sample`` of them drawn without replacement and kept in file order.

    A number that reaches the size of the split takes all of it, and says so.

    Raises:
        UserError: both numbers given, or one below 1.
    """
    if limit is not None and sample is not None:
        raise UserError("--limit and --sample cannot be combined; give one of them")
    number = limit if limit is not None else sample
    if number is not None and number < 1:
        raise UserError(f"--{'limit' if sample is None else 'sample'} must be at least 1, not {number}")
    if number is None or number >= len(samples):
        return Selection(tuple(samples), "all")
    if sample is None:
        return Selection(tuple(samples[:number]), f"first {number}")
    drawn = sorted(random.Random(seed).sample(range(len(samples)), number))
    return Selection(tuple(samples[i] for i in drawn), f"{number} of {len(samples)}, seed {seed}")
