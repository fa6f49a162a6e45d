"""`dsum-bench predict`: files that others read, from data without references."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from commands import Dsum

TALKS = [
    ("t1", '#Person1#: 안녕하세요.\n#Person2#: 네, "내일" 봐요, 꼭.\n#Person1#: 좋아요.\n#Person2#: 끝.'),
    ("t2", "#Person1#: 비가 와요."),
]
FIRST_THREE = ['안녕하세요. 네, "내일" 봐요, 꼭. 좋아요.', "비가 와요."]
REGISTRY = """
[datasets.talks]
format = "csv"
path = "{split}.csv"
columns = { id = "fname" }
default_split = "test"

[models.broken]
source = "./nowhere"
adapter = "chat"
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with (tmp_path / "test.csv").open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("fname", "dialogue"), *TALKS])
    (tmp_path / "registry.toml").write_text(REGISTRY, encoding="utf-8")
    return tmp_path


def rows(file: Path) -> list[list[str]]:
    with file.open(encoding="utf-8", newline="") as opened:
        return list(csv.reader(opened))


def shown(folder: Path, name: str) -> list[str]:
    """What another command says the summaries are."""
    done = Dsum(folder)("show", name, "--json", "--samples", "99")
    return [sample["summary"] for sample in json.loads(done.stdout)["samples"]]


def test_a_split_without_references_becomes_a_submission(dsum: Dsum, folder: Path) -> None:
    done = dsum("predict", "lead-3", "--dataset", "talks", "-o", "out.csv", "--index")
    assert done.returncode == 0, done.stderr
    assert "2 summaries of lead-3 written to out.csv" in done.stdout
    made = rows(folder / "out.csv")
    assert made[0] == ["", "fname", "summary"]
    assert [row[:2] for row in made[1:]] == [["0", "t1"], ["1", "t2"]]
    assert [row[2] for row in made[1:]] == shown(folder, "lead-3")
    assert made[1][2].count(",") == 2 and "끝" not in made[1][2]  # commas and quotes survive, the fourth turn is not in
    plain = dsum("predict", "lead-3", "--dataset", "talks", "-o", "out.jsonl")
    assert plain.returncode == 0, plain.stderr
    lines = [json.loads(line) for line in (folder / "out.jsonl").read_text("utf-8").splitlines()]
    assert lines == [{"fname": row[1], "summary": row[2]} for row in made[1:]]


def test_pandas_reads_it_and_score_agrees_with_screen(dsum: Dsum, folder: Path) -> None:
    import pandas

    assert dsum("screen", "--no-controls", "lead-3", "--metric", "rouge@mecab").returncode == 0
    before = dsum("leaderboard", "--format", "json").stdout
    assert dsum("predict", "lead-3", "-o", "out.csv", "--index").returncode == 0
    frame = pandas.read_csv(folder / "out.csv", index_col=0)
    assert list(frame.columns) == ["id", "summary"] and list(frame.index) == list(range(len(frame)))
    assert frame["summary"].tolist() == shown(folder, "lead-3")
    # What stood on the board, findings included, still does.
    assert json.loads(dsum("leaderboard", "--format", "json").stdout) == json.loads(before)
    assert dsum("score", "out.csv", "--metric", "rouge@mecab").returncode == 0
    (board,) = json.loads(dsum("leaderboard", "--format", "json").stdout)
    made, read = (row["means"]["mean"] for row in board["ranked"])
    assert made == read > 0


def test_a_stored_run_is_written_by_its_key(dsum: Dsum, folder: Path) -> None:
    assert dsum("screen", "--no-controls", "constant-ko", "lead-3", "--limit", "3", "--metric", "text").returncode == 0
    key = json.loads(dsum("show", "constant-ko", "--json").stdout)["row"]["run_id"]
    done = dsum("predict", key[:6], "-o", "out.csv")
    assert done.returncode == 0, done.stderr
    assert [row[1] for row in rows(folder / "out.csv")[1:]] == ["#Person1#은 #Person2#에게 이야기를 합니다."] * 3


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (("lead-3", "-o", "out.txt"), "must end in .csv or .jsonl"),
        (("lead-3", "-o", "test.csv"), "test.csv already exists"),
        (("lead-3", "-o", "none/out.csv"), "folder none of --output does not exist"),
        (("leed-3", "-o", "out.csv"), "unknown model 'leed-3'; did you mean 'lead-3'"),
        (("lead-3", "-o", "out.csv", "--split", "none"), "has no split 'none'; there are test"),
    ],
)
def test_a_mistake_is_reported_in_a_sentence_and_changes_no_file(
    dsum: Dsum, folder: Path, arguments: tuple[str, ...], told: str
) -> None:
    before = (folder / "test.csv").read_bytes()
    done = dsum("predict", *arguments, "--dataset", "talks")
    assert done.returncode == 2 and told in done.stderr and "Traceback" not in done.stderr, done.stderr
    assert (folder / "test.csv").read_bytes() == before and not (folder / "out.csv").exists()


def test_a_model_that_cannot_run_writes_no_file(dsum: Dsum, folder: Path) -> None:
    done = dsum("predict", "broken", "--dataset", "talks", "-o", "out.csv")
    assert done.returncode == 1 and "source folder" in done.stdout + done.stderr
    assert not (folder / "out.csv").exists()


def test_several_models_are_written_to_a_folder(dsum: Dsum, tmp_path: Path) -> None:
    both = ("lead-3", "longest-3", "--limit", "2")
    done = dsum("predict", *both, "-o", "out.csv")
    assert done.returncode == 2 and "give a folder for the files of 2 models" in done.stderr
    done = dsum("predict", *both, "-o", "made/here", "--json")
    assert done.returncode == 0, done.stderr
    assert [row["model"] for row in json.loads(done.stdout)] == ["lead-3", "longest-3"]
    alone = dsum("predict", "longest-3", "--limit", "2", "-o", "alone.csv")
    assert alone.returncode == 0, alone.stderr
    assert (tmp_path / "made/here/longest-3.csv").read_bytes() == (tmp_path / "alone.csv").read_bytes()
    done = dsum("predict", *both, "-o", "made/here")
    assert done.returncode == 2 and "lead-3.csv already exists" in done.stderr
