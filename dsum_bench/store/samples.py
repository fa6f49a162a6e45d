"""Dialogues and references in the results database: each text once, by its fingerprint."""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dsum_bench.dialogue import split_turns
from dsum_bench.spec import Sample
from dsum_bench.store.reading import reading
from dsum_bench.store.rows import storable

if TYPE_CHECKING:
    from dsum_bench.store.writer import Store

DIGITS = 32
ADD_TEXT = "insert or ignore into texts values (?, ?)"
ADD_SAMPLE = """
insert into samples values (?, ?, ?, ?, ?, ?, ?, ?, ?)
on conflict do update set topic = coalesce(excluded.topic, topic), dialogue = coalesce(excluded.dialogue, dialogue),
    reference_texts = iif(excluded.reference_texts = '[]', reference_texts, excluded.reference_texts)
"""
SAMPLES = """
select sample_id, position, topic, characters, turns, text as dialogue, reference_texts
from samples left join texts on fingerprint = dialogue
where dataset_fingerprint = ? and references_fingerprint = ? order by position, sample_id
"""
DROP_SAMPLES = """
delete from samples where not exists (
    select 1 from runs where runs.dataset_fingerprint = samples.dataset_fingerprint
        and runs.references_fingerprint = samples.references_fingerprint)
"""
DROP_TEXTS = """
delete from texts where fingerprint not in (
    select dialogue from samples where dialogue is not null
    union select value from samples, json_each(samples.reference_texts))
"""


@dataclass(frozen=True, slots=True)
class StoredSample:
    """One sample of a dataset as the database keeps it.

    characters, turns: length of the dialogue. dialogue: None and references: empty where the run that stored the
    sample was told to keep them out.
    """

    sample_id: str
    position: int
    topic: str | None
    characters: int
    turns: int
    dialogue: str | None
    references: tuple[str, ...]


def keep_samples(
    store: Store, dataset_fingerprint: str, references_fingerprint: str, samples: Sequence[Sample], dialogues: bool
) -> None:
    """Store the samples of a run. What earlier runs stored of them stays.

    dialogues: False keeps dialogues, references and topics out of the file; ids and lengths are stored all the same.
    """
    texts: dict[str, str] = {}
    rows = []
    for position, sample in enumerate(samples):
        size = (len(sample.dialogue), len(split_turns(sample.dialogue)))
        told: tuple[str | int | None, ...] = (None, *size, None, "[]")
        if dialogues:
            texts |= {_fingerprint(text): storable(text) for text in (sample.dialogue, *sample.references)}
            first, *others = (_fingerprint(text) for text in (sample.dialogue, *sample.references))
            told = (sample.topic and storable(sample.topic), *size, first, json.dumps(others))
        rows.append((dataset_fingerprint, references_fingerprint, sample.id, position, *told))
    with store.transaction() as db:
        db.conn.executemany(ADD_TEXT, texts.items())
        db.conn.executemany(ADD_SAMPLE, rows)


def drop_unused(db: sqlite3.Connection) -> None:
    """Delete the samples that no run is of any more, and the texts that no sample has."""
    db.execute(DROP_SAMPLES)
    db.execute(DROP_TEXTS)


def stored_samples(path: Path, dataset_fingerprint: str, references_fingerprint: str) -> list[StoredSample]:
    """The samples of a run in the order of the dataset; none where they were stored by a version that kept none."""
    with reading(path) as db:
        if not _has_samples(db):
            return []
        rows = db.execute(SAMPLES, [dataset_fingerprint, references_fingerprint]).fetchall()
        wanted = {key for row in rows for key in json.loads(row["reference_texts"])}
        found = _texts(db, sorted(wanted))
    return [_sample(row, found) for row in rows]


def _sample(row: sqlite3.Row, texts: Mapping[str, str]) -> StoredSample:
    values = {name: row[name] for name in row.keys() if name != "reference_texts"}  # noqa: SIM118 (a Row is not a dict)
    return StoredSample(**values, references=tuple(texts[key] for key in json.loads(row["reference_texts"])))


def _has_samples(db: sqlite3.Connection) -> bool:
    return db.execute("select 1 from sqlite_master where name = 'samples'").fetchone() is not None


def _texts(db: sqlite3.Connection, keys: Sequence[str]) -> dict[str, str]:
    sql = "select fingerprint, text from texts where fingerprint in (select value from json_each(?))"
    return dict(tuple(row) for row in db.execute(sql, [json.dumps(keys)]))


def _fingerprint(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()[:DIGITS]
