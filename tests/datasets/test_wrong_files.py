"""Every fault of a data file is named with its place."""

from __future__ import annotations

from pathlib import Path

import pytest
from data_files import PLUGINS, csv_text, refused, row, spec, write

from dsum_bench.datasets.load import load
from dsum_bench.spec import Sample

# -- faults, each with its place --------------------------------------------------------------------------------

MULTILINE = 'id,dialogue,summary\nd1,"a\nb\nc",s\n\nd2,x,s\n'
"""Row 1 stands on lines 2 to 4, line 5 is blank, row 2 stands on line 6."""


@pytest.mark.parametrize(
    ("text", "where", "problem"),
    [
        (
            MULTILINE + "d1,y,s\n",
            "row 3 (line 7), column 'id'",
            "duplicate id 'd1', first seen in {file}, row 1 (line 2)",
        ),
        (MULTILINE + 'd3,"  \n ",s\n', "row 3 (line 7), column 'dialogue'", "empty"),
        (MULTILINE + "d3,y, \n", "row 3 (line 7), column 'summary'", "empty"),
        (MULTILINE + ",y,s\n", "row 3 (line 7), column 'id'", "empty"),
        (MULTILINE + "d3,y,s,z\n", "row 3 (line 7)", "4 fields under a header of 3 columns"),
        (MULTILINE + "d3\n", "row 3 (line 7)", "1 field under a header of 3 columns"),
        (MULTILINE + 'd3,"y,s\nd4,z,s\n', "row 3 (line 7)", "not valid CSV: unexpected end of data"),
        (MULTILINE + 'd3,"y"y,s\n', "row 3 (line 7)", "not valid CSV: ',' expected after '\"'"),
        ('id,"dialogue\nd1,x\n', "line 1", "not valid CSV"),
        ("id,dialogue,id\na,b,c\n", "line 1", "column 'id' occurs 2 times"),
    ],
)
def test_a_fault_in_a_csv_file_is_named_with_row_and_line(tmp_path: Path, text: str, where: str, problem: str) -> None:
    file = write(tmp_path / "dev.csv", text)
    message = refused(spec(file))
    assert message.startswith(f"{file}, {where}: {problem.format(file=file)}")


GOOD = '{"id": "a", "dialogue": "d", "summary": "s"}\n\n'


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('{"id": "b", "dialogue": "d" "summary": "s"}', ": not valid JSON: Expecting ',' delimiter at column 29"),
        ('["b", "d"]', ": each line must be an object"),
        ("[" * 200_000, ": "),
        ('{"id": "b", "dialogue": 7, "summary": "s"}', ", column 'dialogue': must be a string, not 7"),
        ('{"id": "b", "dialogue": null, "summary": "s"}', ", column 'dialogue': must be a string, not null"),
        ('{"id": true, "dialogue": "d", "summary": "s"}', ", column 'id': must be a string, not true"),
        ('{"id": "b", "dialogue": "d", "summary": {"a": 1}}', ", column 'summary': must be a string, not {\"a\": 1}"),
        ('{"id": "b", "dialogue": "d", "summary": ["s", 1]}', ", column 'summary': must be a string, not 1"),
        ('{"id": "b", "dialogue": "d", "summary": ["s", " "]}', ", column 'summary': empty"),
        ('{"id": "b", "dialogue": "d", "summary": []}', ", column 'summary': empty; scores need reference summaries"),
        ('{"id": "b", "dialogue": "d", "summary": "s", "topic": 3}', ", column 'topic': must be a string, not 3"),
        ('{"id": "b", "dialogue": "\\ud83d", "summary": "s"}', ", column 'dialogue': contains a lone surrogate"),
        ('{"id": "b", "dialog": "d", "summary": "s"}', ": no column 'dialogue'; there are 'id', 'dialog', 'summary'"),
    ],
)
def test_a_fault_in_a_jsonl_file_is_named_with_row_and_line(tmp_path: Path, line: str, problem: str) -> None:
    file = write(tmp_path / "dev.jsonl", GOOD + line + "\n")
    assert refused(spec(file, format="jsonl")).startswith(f"{file}, row 2 (line 3){problem}")


def test_a_missing_column_is_named_with_those_there_are_and_what_to_write(tmp_path: Path) -> None:
    file = write(tmp_path / "dev.csv", "fname,dialoge,summary\na,b,c\n")
    assert refused(spec(file, columns={"id": "fname"})) == (
        f"{file}, row 1 (line 2): no column 'dialogue'; there are 'fname', 'dialoge', 'summary'; name the right "
        "one in the dataset's entry: columns = { dialogue = \"...\" }; did you mean 'dialoge'?"
    )


def test_missing_references_say_what_to_do(tmp_path: Path) -> None:
    file = write(tmp_path / "test.csv", "id,dialogue\na,b\n")
    dataset = spec(tmp_path / "{split}.csv")
    message = refused(dataset, "test")
    assert message.startswith(f"{file}, row 1 (line 2): no column 'summary'; there are 'id', 'dialogue'; scores need")
    assert "another split than 'test'" in message and 'columns = { summary = "..." }' in message
    assert load(dataset, PLUGINS, "test", references=False) == (Sample("a", "b"),)


def test_a_topic_is_needed_only_where_the_entry_names_it(tmp_path: Path) -> None:
    file = write(tmp_path / "dev.csv", "id,dialogue,summary\na,b,c\n")
    assert load(spec(file), PLUGINS, "dev")[0].topic is None
    assert "no column 'subject'" in refused(spec(file, columns={"topic": "subject"}))


def test_a_topic_that_only_the_training_split_has_stops_no_other(tmp_path: Path) -> None:
    write(tmp_path / "train.csv", "id,dialogue,summary,subject\na,b,c,여행\n")
    write(tmp_path / "test.csv", "id,dialogue\na,b\n")
    dataset = spec(tmp_path / "{split}.csv", columns={"topic": "subject"})
    assert load(dataset, PLUGINS, "test", references=False) == (Sample("a", "b"),)
    assert load(dataset, PLUGINS, "train")[0].topic == "여행"
    wrong = spec(tmp_path / "{split}.csv", columns={"topic": "subjct"})
    assert "no column 'subjct'" in refused(wrong, "test", references=False)
    assert "did you mean 'subject'" in refused(wrong, "train")


@pytest.mark.parametrize(
    ("name", "text", "problem"),
    [
        ("dev.csv", "", "is empty; its first line must name the columns"),
        ("dev.csv", "id,dialogue,summary\n", "has no rows (dataset 'mine', split 'dev')"),
        ("dev.jsonl", "\n\n", "has no rows (dataset 'mine', split 'dev')"),
    ],
)
def test_no_rows(tmp_path: Path, name: str, text: str, problem: str) -> None:
    file = write(tmp_path / name, text)
    assert refused(spec(file, format=name.removeprefix("dev."))) == f"{file} {problem}"


# -- encodings that are wrong -----------------------------------------------------------------------------------


def test_bytes_that_fit_no_encoding_are_named_with_row_line_and_offset(tmp_path: Path) -> None:
    good = csv_text([row(1), row(2)], lineterminator="\n").encode()
    file = tmp_path / "dev.csv"
    file.write_bytes(good + b'd3,"a\n\xff\xff",s\n')
    # The two dialogues have two lines each: rows 1 and 2 take lines 2 to 5, row 3 begins on line 6.
    assert refused(spec(file)).startswith(
        f"{file}, row 3 (line 7): byte 0xFF at offset {len(good) + 6} is neither UTF-8 nor CP949; save the file"
    )


def test_one_bad_byte_does_not_turn_utf8_into_other_korean_words(tmp_path: Path) -> None:
    data = "id,dialogue,summary\na,전화친구,s\n".encode().replace("전".encode(), "전".encode()[:1])
    assert "日솕移쒓뎄" in data.decode("cp949")  # valid, and nonsense
    file = tmp_path / "dev.csv"
    file.write_bytes(data)
    assert refused(spec(file)).startswith(f"{file}, row 1 (line 2): byte 0xEC at offset 22 is neither UTF-8 nor CP949")


def test_a_wrong_encoding_in_a_jsonl_file_names_the_line(tmp_path: Path) -> None:
    file = tmp_path / "dev.jsonl"
    file.write_bytes(GOOD.encode() + b'{"id": "\xff"}\n')
    assert f"{file}, row 2 (line 3): byte 0xFF at offset {len(GOOD) + 8}" in refused(spec(file, format="jsonl"))


def test_a_named_encoding_that_does_not_fit(tmp_path: Path) -> None:
    file = write(tmp_path / "dev.csv", "id,dialogue,summary\na,가,나\n", "cp949")
    message = refused(spec(file, encoding="utf-8"))
    assert message.startswith(f"{file}, row 1 (line 2): byte 0xB0 at offset 22 is not utf-8; ")


@pytest.mark.parametrize("encoding", ["cp94", "hex"])
def test_an_encoding_that_does_not_exist(tmp_path: Path, encoding: str) -> None:
    file = write(tmp_path / "dev.csv", "id\na\n")
    message = refused(spec(file, encoding=encoding))
    assert message.startswith(f"{file}: unknown encoding '{encoding}'")
    assert encoding != "cp94" or message.endswith("did you mean 'cp949'?")
