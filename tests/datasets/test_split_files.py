"""Which files are the splits of a dataset, in folders and inside packages."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path

import pytest
from data_files import PLUGINS, csv_text, refused, row, spec, splits, write

from dsum_bench.datasets.load import load

# -- splits -----------------------------------------------------------------------------------------------------


def test_splits_are_found_from_the_pattern(tmp_path: Path) -> None:
    for name in ("data/train.csv", "data/dev.csv", "data/dev.csv.bak", "data/test/x.csv", "other/dev.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        write(tmp_path / name, csv_text([row(1)]))
    assert splits(spec(tmp_path / "data" / "{split}.csv")) == ("dev", "train")
    assert splits(spec(tmp_path / "{split}" / "dev.csv")) == ("data", "other")


def test_a_pattern_may_name_the_split_twice_and_hold_glob_characters(tmp_path: Path) -> None:
    folder = tmp_path / "my [data]*"
    for name in ("dev/dev.csv", "dev/test.csv", "test/test.csv"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        write(folder / name, csv_text([row(1)]))
    dataset = spec(folder / "{split}" / "{split}.csv")
    assert splits(dataset) == ("dev", "test")
    assert load(dataset, PLUGINS, "test")[0].id == "d1"


def test_a_path_without_split_is_the_default_split(tmp_path: Path) -> None:
    dataset = spec(write(tmp_path / "meetings.csv", csv_text([row(1)])), default_split="test")
    assert splits(dataset) == ("test",)
    assert refused(dataset, "dev") == "dataset 'mine' has no split 'dev'; there are test"


def test_an_unknown_split_lists_those_there_are(tmp_path: Path) -> None:
    for name in ("train", "dev"):
        write(tmp_path / f"{name}.csv", csv_text([row(1)]))
    dataset = spec(tmp_path / "{split}.csv")
    assert refused(dataset, "devs") == "dataset 'mine' has no split 'devs'; there are dev, train; did you mean 'dev'?"
    assert refused(dataset, "../x") == "dataset 'mine' has no split '../x'; there are dev, train"


def test_files_that_are_not_there(tmp_path: Path) -> None:
    nowhere = tmp_path / "nowhere"
    assert refused(spec(nowhere / "{split}.csv")) == f"dataset 'mine': folder {nowhere} does not exist"
    assert refused(spec(tmp_path / "a.csv")) == f"dataset 'mine': no file {tmp_path}/a.csv"
    assert refused(spec(tmp_path / "{split}.csv")) == f"dataset 'mine': no file matches {tmp_path}/{{split}}.csv"


@pytest.mark.skipif(not hasattr(os, "geteuid") or os.geteuid() == 0, reason="root may read every file")
def test_a_file_that_may_not_be_read(tmp_path: Path) -> None:
    file = write(tmp_path / "dev.csv", csv_text([row(1)]))
    file.chmod(0)
    assert refused(spec(file)) == f"{file} cannot be read: Permission denied"


def test_an_unknown_format_names_the_nearest() -> None:
    assert refused(spec("x.csv", format="cvs")) == (
        "registry.toml: dataset 'mine': unknown dataset format 'cvs'; did you mean 'csv'?"
    )


# -- data inside a package --------------------------------------------------------------------------------------


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package with data, found on sys.path."""
    folder = tmp_path / "dsum_test_data_package"
    (folder / "inner").mkdir(parents=True)
    write(folder / "__init__.py", "")
    for split, number in (("dev", 2), ("train", 1)):
        rows = [row(n) for n in range(number)]
        write(folder / "inner" / f"{split}.jsonl", "".join(json.dumps(r) + "\n" for r in rows))
        (folder / split).mkdir()
        write(folder / split / "rows.csv", csv_text(rows))
    monkeypatch.delitem(sys.modules, folder.name, raising=False)  # an earlier test's package of this name
    monkeypatch.syspath_prepend(tmp_path)
    return folder


@pytest.mark.parametrize("inner", ["inner/{split}.jsonl", "{split}/rows.csv"])
def test_a_package_may_ship_data(package: Path, inner: str) -> None:
    dataset = spec(f"{package.name}:{inner}", format="embedded")
    assert splits(dataset) == ("dev", "train")
    assert [s.id for s in load(dataset, PLUGINS, "dev")] == ["d0", "d1"]


def test_one_file_of_a_package_is_the_default_split(package: Path) -> None:
    dataset = spec(f"{package.name}:inner/train.jsonl", format="embedded", default_split="all")
    assert splits(dataset) == ("all",)
    assert len(load(dataset, PLUGINS, "all")) == 1


@pytest.mark.parametrize(
    ("path", "problem"),
    [
        ("dsum_test_data_package", "path 'dsum_test_data_package' must be PACKAGE:inner/{split}.jsonl"),
        ("no_such_package:a/{split}.jsonl", "package 'no_such_package' is not installed"),
        ("dsum_test_data_package:x/{split}.jsonl", "package 'dsum_test_data_package' has no file x/{split}.jsonl"),
        ("dsum_test_data_package:__init__.py", "__init__.py must end in .csv, .tsv, .jsonl, .ndjson, .json, .parquet"),
    ],
)
def test_faults_of_embedded_data(package: Path, path: str, problem: str) -> None:
    message = refused(spec(path, format="embedded"))
    assert message.startswith("dataset 'mine': ") and message.endswith(problem)


def test_a_fault_inside_a_package_names_the_file(package: Path) -> None:
    write(package / "inner" / "dev.jsonl", "{}\n")
    message = refused(spec(f"{package.name}:inner/{{split}}.jsonl", format="embedded"))
    assert message.startswith(f"{package / 'inner' / 'dev.jsonl'}, row 1 (line 1): no column 'id'; there are none")
