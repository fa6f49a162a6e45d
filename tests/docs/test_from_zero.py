"""From zero to a submission, as the pages say, with a small model on shipped dialogues."""

from __future__ import annotations

import csv
import json
import re
import shlex
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
import tiny
from commands import Dsum

FOLDER = Path(__file__).parents[2] / "docs" / "how-to"
PAGES = ("from-zero.md", "from-zero.ko.md")
SOURCE = 'source = "gogamza/kobart-base-v2"'
ROWS = {"train": 8, "dev": 6, "test": 5}


def read(page: str) -> str:
    return (FOLDER / page).read_text(encoding="utf-8")


def commands(page: str) -> list[str]:
    return re.findall(r"^    dsum-bench (.+)$", read(page), re.MULTILINE)


def registry(page: str) -> str:
    (found,) = re.findall(r"^```toml\n(.*?)^```$", read(page), re.MULTILINE | re.DOTALL)
    return str(found)


def test_both_pages_have_the_same_commands_and_registry() -> None:
    english, korean = PAGES
    assert commands(english) == commands(korean) and registry(english) == registry(korean)
    # What the pages promise: six commands up to the file, and a registry of at most 40 lines.
    assert [c.split()[0] for c in commands(english)[:6]] == [
        "screen", "finetune", "predict", "combine", "postprocess", "predict"
    ]  # fmt: skip
    assert len(registry(english).splitlines()) <= 40


@pytest.fixture
def folder(tmp_path: Path, bart_tokenizer: Any) -> Path:
    """The files of a competition, from shipped dialogues, and a small model."""
    tiny.bart(tmp_path / "model", bart_tokenizer)
    (tmp_path / "data").mkdir()
    for split, count in ROWS.items():
        text = files("dsum_bench.datasets").joinpath(f"samples_ko/{split}.jsonl").read_text(encoding="utf-8")
        rows = [json.loads(line) for line in text.splitlines()[:count]]
        names = ["fname", "dialogue"] if split == "test" else ["fname", "dialogue", "summary"]
        values = [
            (r["id"], r["dialogue"], r["summary"] if isinstance(r["summary"], str) else r["summary"][0]) for r in rows
        ]
        with (tmp_path / "data" / f"{split}.csv").open("w", encoding="utf-8", newline="") as file:
            csv.writer(file).writerows([names, *(row[: len(names)] for row in values)])
    with (tmp_path / "sample_submission.csv").open("w", encoding="utf-8", newline="") as file:
        numbered = [(str(i), f"test_{4 - i}", "-") for i in range(ROWS["test"])]
        csv.writer(file).writerows([("", "fname", "summary"), *numbered])
    text = registry(PAGES[0]).replace(SOURCE, 'source = "./model"')
    assert SOURCE not in text
    (tmp_path / "registry.toml").write_text(text, encoding="utf-8")
    return tmp_path


@pytest.mark.slow
def test_every_command_runs_and_the_file_is_what_the_sample_asks_for(folder: Path) -> None:
    dsum = Dsum(folder)
    said = {}
    for line in commands(PAGES[0]):
        done = dsum(*shlex.split(line))
        assert done.returncode == 0, f"$ dsum-bench {line}\n{done.stdout}\n{done.stderr}"
        said[line] = done.stdout
        if line.split()[0] == "predict" and "--like" in line:
            with (folder / "submission.csv").open(encoding="utf-8", newline="") as file:
                header, *rows = csv.reader(file)
            assert header == ["", "fname", "summary"]
            assert [row[:2] for row in rows] == [[str(i), f"test_{4 - i}"] for i in range(ROWS["test"])]
            assert all(row[2].strip() for row in rows)
    combined = [text for line, text in said.items() if line.startswith("combine")]
    assert "gain over the best member" in combined[-1], combined[-1]
    listed = said["submissions list"]
    assert "47.10" in listed and "mine@first+mbr+tidy" in listed
