"""Dialogues and references in the database: each once, whole, and only when they may be there."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from store_runs import make_run, open_store, store_run

from dsum_bench.spec import Sample
from dsum_bench.store.samples import StoredSample, drop_unused, keep_samples, stored_samples

SAMPLES = (
    Sample("a", "#Person1#: 안녕\n#Person2#: 네", ("인사한다.", "둘이 인사한다."), "인사"),
    Sample("b", "#Person1#: 택배요", ("인사한다.",), None),
)


def count(path: Path, table: str) -> int:
    with sqlite3.connect(path) as db:
        return int(db.execute(f"select count(*) from {table}").fetchone()[0])


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "dsum.db"
    with open_store(path) as store:
        store_run(store, make_run())
        keep_samples(store, "dialogues-4", "references-1", SAMPLES, True)
    return path


def test_samples_come_back_in_order_with_every_reference(path: Path) -> None:
    assert stored_samples(path, "dialogues-4", "references-1") == [
        StoredSample("a", 0, "인사", len(SAMPLES[0].dialogue), 2, SAMPLES[0].dialogue, SAMPLES[0].references),
        StoredSample("b", 1, None, len(SAMPLES[1].dialogue), 1, SAMPLES[1].dialogue, SAMPLES[1].references),
    ]
    assert stored_samples(path, "dialogues-4", "other") == []


def test_a_text_is_stored_once_however_many_samples_have_it(path: Path) -> None:
    with open_store(path) as store:
        keep_samples(store, "other", "other", SAMPLES[:1], True)
    assert count(path, "texts") == 4  # two dialogues, two references
    assert count(path, "samples") == 3


def test_told_to_keep_them_out_only_ids_and_lengths_are_stored(tmp_path: Path) -> None:
    path = tmp_path / "dsum.db"
    with open_store(path) as store:
        store_run(store, make_run())
        keep_samples(store, "d", "r", SAMPLES, False)
    assert stored_samples(path, "d", "r")[0] == StoredSample("a", 0, None, len(SAMPLES[0].dialogue), 2, None, ())
    assert b"\xed\x83\x9d\xeb\xb0\xb0" not in path.read_bytes()  # a word of a dialogue


def test_keeping_them_out_later_takes_nothing_away(path: Path) -> None:
    before = stored_samples(path, "dialogues-4", "references-1")
    with open_store(path) as store:
        keep_samples(store, "dialogues-4", "references-1", SAMPLES, False)
    assert stored_samples(path, "dialogues-4", "references-1") == before


def test_samples_of_no_run_go_with_their_texts(path: Path) -> None:
    with open_store(path) as store:
        keep_samples(store, "nobody", "nobody", [Sample("x", "#Person1#: 혼자", ("혼자다.",))], True)
        with store.transaction() as db:
            drop_unused(db.conn)
    assert count(path, "samples") == 2 and count(path, "texts") == 4


def test_a_lone_surrogate_becomes_a_replacement_character(path: Path) -> None:
    with open_store(path) as store:
        keep_samples(store, "odd", "odd", [Sample("x", "#Person1#: \ud800", ("\udfff",))], True)
    (sample,) = stored_samples(path, "odd", "odd")
    assert (sample.dialogue, sample.references) == ("#Person1#: \ufffd", ("\ufffd",))
