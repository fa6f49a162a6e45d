"""Submissions written as a sample file has them."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from dsum_bench import Bench, UserError
from dsum_bench.cli import main
from dsum_bench.screening import like

SUMMARIES = {"test_0": '가 "나", 다', "test_7": "라\n마", "test_3": "바"}


def write(folder: Path, text: str, encoding: str = "utf-8", name: str = "sample.csv") -> Path:
    file = folder / name
    file.write_bytes(text.encode(encoding))
    return file


def read(data: bytes, encoding: str = "utf-8", delimiter: str = ",") -> list[list[str]]:
    return list(csv.reader(io.StringIO(data.decode(encoding), newline=""), delimiter=delimiter))


def test_order_index_and_other_columns_are_those_of_the_sample(tmp_path: Path) -> None:
    sample = write(tmp_path, ",fname,note,summary\n0,test_7,x,\n1,test_0,y,...\n")
    made = like.written(sample, SUMMARIES, "summary")
    header, *rows = read(made)
    assert header == ["", "fname", "note", "summary"]
    assert rows == [["0", "test_7", "x", "라\n마"], ["1", "test_0", "y", '가 "나", 다']]
    frame = pd.read_csv(io.BytesIO(made), index_col=0)
    assert list(frame.columns) == ["fname", "note", "summary"] and list(frame.index) == [0, 1]


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp949", "utf-16"])
@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_encoding_mark_and_line_ends_stay(tmp_path: Path, encoding: str, end: str) -> None:
    text = f"fname;요약{end}test_0;없음{end}test_3;없음{end}"
    sample = write(tmp_path, text, encoding)
    made = like.written(sample, SUMMARIES, "summary")
    expected = text.replace("test_0;없음", 'test_0;"가 ""나"", 다"').replace("test_3;없음", "test_3;바")
    assert made == expected.encode(encoding)


def test_tabs_separate_where_the_name_says_so(tmp_path: Path) -> None:
    sample = write(tmp_path, "id\ttext\ntest_0\t\n", name="sample.tsv")
    assert read(like.written(sample, SUMMARIES, "summary"), delimiter="\t")[1] == ["test_0", SUMMARIES["test_0"]]


IDS = st.lists(st.sampled_from(sorted(SUMMARIES)), min_size=1, max_size=3, unique=True)


@given(IDS, st.permutations(["", "fname", "summary", "extra"]))
def test_whatever_the_columns_every_id_has_its_summary_and_nothing_else_changes(
    ids: list[str], header: list[str]
) -> None:
    import tempfile

    cells = {"": "7", "extra": "a, b", "summary": "?"}
    rows = [[cells.get(name, sample_id) for name in header] for sample_id in ids]
    with tempfile.TemporaryDirectory() as folder:
        text = io.StringIO(newline="")
        csv.writer(text, lineterminator="\n").writerows([header, *rows])
        made = read(like.written(write(Path(folder), text.getvalue()), SUMMARIES, "summary"))
    place = header.index("summary")
    assert made[0] == header and [row[place] for row in made[1:]] == [SUMMARIES[i] for i in ids]
    for row, before in zip(made[1:], rows, strict=True):
        assert [c for i, c in enumerate(row) if i != place] == [c for i, c in enumerate(before) if i != place]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("fname,summary\ntest_0,\ntest_9,\n", "no summary for 1 of the 2 ids of .*: test_9"),
        ("fname,summary\ntest_0,\ntest_0,\n", "id 'test_0' occurs twice"),
        ("fname,summary\nempty,\ntest_0,\n", "an empty summary for 1 of the 2 ids of .*: empty"),
        ("fname,summary\nx,\n", "no column contains the ids of these summaries"),
        ("fname,a,b\ntest_0,,\n", "which of the columns 'fname', 'a', 'b' is the summary column"),
        ("fname,summary\n", "has no rows"),
        ("fname,summary\ntest_0\n", "row 1: 1 fields under a header of 2 columns"),
        ('fname,summary\ntest_0,"a\n', "not valid CSV"),
    ],
)
def test_what_does_not_fit_is_refused(tmp_path: Path, text: str, told: str) -> None:
    with pytest.raises(UserError, match=told):
        like.written(write(tmp_path, text), SUMMARIES | {"empty": " "}, "summary")


def test_a_character_that_the_encoding_lacks_is_named(tmp_path: Path) -> None:
    sample = write(tmp_path, "fname,요약\ntest_0,없음\n", "cp949")
    with pytest.raises(UserError, match="is cp949, which has no '🙂'; save it as UTF-8"):
        like.written(sample, {"test_0": "🙂"}, "summary")


# -- the command --------------------------------------------------------------------------------------------------


def predict(folder: Path, *arguments: str) -> Any:
    return CliRunner().invoke(main, ["predict", "lead-3", *arguments, "--results", str(folder / "results")])


def test_the_command_writes_like_the_sample(tmp_path: Path) -> None:
    bench = Bench(results=tmp_path / "results", progress=None)
    ids = [s.id for s in bench._dialogues("samples-ko", "test", references=False).selection.samples][::-1]
    sample = write(tmp_path, "," + "fname,summary\n" + "".join(f"{n},{i},...\n" for n, i in enumerate(ids)))
    output = tmp_path / "submission.csv"
    done = predict(tmp_path, "--split", "test", "--like", str(sample), "-o", str(output))
    assert done.exit_code == 0, done.output
    made = pd.read_csv(output, index_col=0)
    assert list(made["fname"]) == ids and made["summary"].str.len().min() > 0
    told = bench.samples("lead-3").set_index("sample_id")["summary"]
    assert list(made["summary"]) == [told[i] for i in ids]


def test_mistakes_are_told_before_anything_is_generated(tmp_path: Path) -> None:
    sample = write(tmp_path, "fname,summary\na,\n")
    for arguments, told in (
        (["--like", str(sample), "-o", "x.jsonl"], "the name must end in .csv"),
        (["--like", str(tmp_path / "none.csv"), "-o", "x.csv"], "cannot be read"),
        (["--like", str(tmp_path / "none.txt"), "-o", "x.txt"], "must end in .csv, .tsv, .json"),
        (["--like", str(sample), "-o", "x.csv", "--index"], "--index cannot be combined with --like"),
    ):
        done = predict(tmp_path, *arguments)
        assert done.exit_code == 2 and told in " ".join(done.output.split()), done.output
    assert not (tmp_path / "results").exists()
