"""Every way in which a results database can be wrong: each is a sentence, and nothing is lost."""

from __future__ import annotations

import os
import shutil
import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from store_runs import (
    make_run,
    open_store,
    positions,
    scored,
    store_run,
)

from dsum_bench.errors import UserError
from dsum_bench.store import reader
from dsum_bench.store.writer import Store


@contextmanager
def unprivileged() -> Iterator[Path]:
    """A folder of ours, with the right to override permissions given up for the while (tests may run as root)."""
    folder = Path(tempfile.mkdtemp(prefix="dsum-store-"))
    root = os.geteuid() == 0
    if root:
        os.chown(folder, 65534, 65534)
        os.seteuid(65534)
    try:
        yield folder
    finally:
        if root:
            os.seteuid(0)
        folder.chmod(0o755)
        shutil.rmtree(folder)


def one_sentence(error: pytest.ExceptionInfo[UserError]) -> str:
    text = str(error.value)
    assert "\n" not in text
    assert "--results" in text
    return text


def test_read_only_file_is_refused(path: Path) -> None:
    open_store(path).close()  # imports what needs importing, while we may
    with unprivileged() as folder:
        file = folder / "dsum.db"
        with open_store(file) as store:
            store_run(store, make_run())
        file.chmod(0o444)
        with pytest.raises(UserError) as error:
            Store.open(file)
        assert "make file and folder writable" in one_sentence(error)
        assert len(reader.boards(file)[0].rows) == 1


def test_read_only_folder_can_be_read_and_not_written(path: Path) -> None:
    open_store(path).close()
    with unprivileged() as folder:
        file = folder / "dsum.db"
        with open_store(file) as store:
            store_run(store, make_run())
        Path(f"{file}.lock").unlink()
        folder.chmod(0o555)
        with pytest.raises(UserError) as error:
            Store.open(file)
        assert "make it writable" in one_sentence(error)
        assert len(reader.boards(file)[0].rows) == 1
        with pytest.raises(UserError, match="make it writable"):
            Store.open(folder / "new" / "dsum.db")


@pytest.mark.parametrize("garbage", [b"this is no database at all" * 50, b"\x00" * 5000, "요약".encode() * 900])
def test_file_that_is_not_a_database(path: Path, garbage: bytes) -> None:
    path.parent.mkdir()
    path.write_bytes(garbage)
    with pytest.raises(UserError) as writing:
        Store.open(path)
    with pytest.raises(UserError) as reading:
        reader.boards(path)
    assert "is not a results database" in one_sentence(writing)
    assert "is not a results database" in one_sentence(reading)
    assert path.read_bytes() == garbage


def test_folder_in_the_way_and_file_for_a_folder(tmp_path: Path) -> None:
    (tmp_path / "dsum.db").mkdir()
    (tmp_path / "file").write_text("x")
    for use in (Store.open, reader.boards):
        with pytest.raises(UserError) as error:
            use(tmp_path / "dsum.db")
        assert "is a folder" in one_sentence(error)
    for path in (tmp_path / "file" / "dsum.db", tmp_path / "file" / "deeper" / "dsum.db"):
        with pytest.raises(UserError) as error:
            Store.open(path)
        assert "not a folder" in one_sentence(error)
        with pytest.raises(UserError, match="screen"):
            reader.boards(path)


def test_database_of_another_program_is_left_alone(path: Path) -> None:
    path.parent.mkdir()
    with closing(sqlite3.connect(path)) as db:
        db.execute("create table runs (id text)")
    before = path.read_bytes()
    for use in (Store.open, reader.boards):
        with pytest.raises(UserError, match="another program"):
            use(path)
    assert path.read_bytes() == before


def test_database_of_a_newer_version(path: Path) -> None:
    open_store(path).close()
    with closing(sqlite3.connect(path)) as db, db:
        db.execute("insert into _sqlite_migrations values (99, 'dsum_bench', 'm099_future', '2030-01-01')")
    for use in (Store.open, reader.boards):
        with pytest.raises(UserError, match=r"newer dsum-bench.*upgrade"):
            use(path)


def test_full_disk_is_reported_and_finished_samples_stay(path: Path) -> None:
    with open_store(path) as store:
        key = store.open_run(make_run(n=1000), "model")
        store.add(key, [scored(0)], positions(1000))
        pages = store._db.execute("pragma page_count").fetchone()[0]
        store._db.execute(f"pragma max_page_count = {pages + 2}")  # SQLite's own limit gives the error of a full disk
        with pytest.raises(UserError, match=r"disk full.*finished samples are kept"):
            store.add(key, [scored(i, summary="글" * 500) for i in range(1, 100)], positions(1000))
        assert set(store.outputs(key)) == {"s0"}
        store._db.execute("pragma max_page_count = 1000000")
        assert store.add(key, [scored(1)], positions(1000)) == 1


def test_missing_or_empty_database_says_what_to_do(path: Path) -> None:
    with pytest.raises(UserError, match="dsum-bench screen"):
        reader.boards(path)
    assert not path.parent.exists()
    open_store(path).close()
    with pytest.raises(UserError, match="dsum-bench screen"):
        reader.boards(path)


def test_path_with_characters_that_mean_something_in_an_address(tmp_path: Path) -> None:
    path = tmp_path / "결과 #1?mode=x&%41" / "dsum.db"
    with open_store(path) as store:
        store_run(store, make_run())
    assert len(reader.boards(path)[0].rows) == 1


def test_a_lock_is_released_when_opening_fails(path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"garbage that is long enough to be read as a header" * 9)
    with pytest.raises(UserError) as error:
        Store.open(path)
    path.unlink()
    Store.open(path).close()
    assert error.tb is not None  # which kept the failed attempt's lock from being released by garbage collection
