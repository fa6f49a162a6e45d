"""Data files as they come: several encodings, several shapes, and every fault named with its place."""

from __future__ import annotations

import csv
import io
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dsum_bench.datasets.load import load
from dsum_bench.errors import UserError
from dsum_bench.plugins import Plugins
from dsum_bench.registry.load import load as registry
from dsum_bench.spec import DatasetSpec, PluginSettings, Sample

PLUGINS = Plugins(PluginSettings(packages=()))
KOREAN = "#Person1#: 여보세요, 내일 몇 시에 만날까요?\n#Person2#: 오후 세 시에 #Address#에서 봐요."


def spec(path: Path | str, **changes: Any) -> DatasetSpec:
    fields: dict[str, Any] = {"name": "mine", "format": "csv", "path": str(path), "origin": "registry.toml", **changes}
    return DatasetSpec(**fields)


def csv_text(rows: Sequence[dict[str, str]], **options: Any) -> str:
    """Rows as the standard library writes them."""
    out = io.StringIO(newline="")
    writer = csv.DictWriter(out, list(rows[0]), **options)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue()


def row(number: int, **changes: str) -> dict[str, str]:
    return {"id": f"d{number}", "dialogue": f"{KOREAN} {number}", "summary": f"요약 {number}", **changes}


def write(path: Path, text: str, encoding: str = "utf-8") -> Path:
    path.write_bytes(text.encode(encoding))
    return path


def refused(dataset: DatasetSpec, split: str = "dev", references: bool = True) -> str:
    with pytest.raises(UserError) as error:
        load(dataset, PLUGINS, split, references)
    return str(error.value)


# -- what is read is what was written ---------------------------------------------------------------------------

TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\ufeff"), min_size=1).filter(
    lambda t: t.strip()
)
SAMPLES = st.lists(
    st.fixed_dictionaries({"id": TEXTS, "dialogue": TEXTS, "summary": TEXTS, "topic": TEXTS}),
    min_size=1,
    max_size=6,
    unique_by=lambda r: clean(r["id"]),
)


def clean(text: str) -> str:
    return text.replace("\r\n", "\n").strip()


def expected(rows: Sequence[dict[str, str]]) -> tuple[Sample, ...]:
    return tuple(Sample(clean(r["id"]), clean(r["dialogue"]), (clean(r["summary"]),), clean(r["topic"])) for r in rows)


@pytest.mark.parametrize(
    ("suffix", "options", "encoding"),
    [
        ("csv", {}, "utf-8"),
        ("csv", {"lineterminator": "\n", "quoting": csv.QUOTE_ALL}, "utf-8-sig"),
        ("tsv", {"delimiter": "\t"}, "utf-8"),
    ],
)
@settings(max_examples=60, deadline=None)
@given(rows=SAMPLES)
def test_csv_gives_back_what_the_standard_library_wrote(
    tmp_path_factory: pytest.TempPathFactory, suffix: str, options: Any, encoding: str, rows: list[dict[str, str]]
) -> None:
    file = tmp_path_factory.getbasetemp() / f"written.{suffix}"
    write(file, csv_text(rows, **options), encoding)
    assert load(spec(file), PLUGINS, "dev") == expected(rows)


@pytest.mark.parametrize("ascii_only", [True, False])
@settings(max_examples=60, deadline=None)
@given(rows=SAMPLES)
def test_jsonl_gives_back_what_the_standard_library_wrote(
    tmp_path_factory: pytest.TempPathFactory, ascii_only: bool, rows: list[dict[str, str]]
) -> None:
    file = tmp_path_factory.getbasetemp() / "written.jsonl"
    write(file, "".join(json.dumps(r, ensure_ascii=ascii_only) + "\n" for r in rows))
    assert load(spec(file, format="jsonl"), PLUGINS, "dev") == expected(rows)


@pytest.mark.parametrize("ends", ["\n", "\r\n"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp949"])
def test_korean_comes_back_from_every_usual_encoding(tmp_path: Path, encoding: str, ends: str) -> None:
    rows = [row(n, topic="똠방각하의 펲시콜라") for n in range(3)]  # syllables that EUC-KR lacks and CP949 has
    text = csv_text(rows, lineterminator="\n").replace("\n", ends)
    found = load(spec(write(tmp_path / "dev.csv", text, encoding)), PLUGINS, "dev")
    assert found == expected(rows)


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp949", "utf-16", "johab"])
def test_an_encoding_can_be_named(tmp_path: Path, encoding: str) -> None:
    file = write(tmp_path / "dev.csv", csv_text([row(1)]), encoding)
    assert load(spec(file, encoding=encoding), PLUGINS, "dev")[0].dialogue == row(1)["dialogue"]


def test_naming_utf8_accepts_a_byte_order_mark(tmp_path: Path) -> None:
    file = write(tmp_path / "dev.csv", csv_text([row(1)]), "utf-8-sig")
    assert load(spec(file, encoding="UTF8"), PLUGINS, "dev")[0].id == "d1"


def test_nothing_but_line_ends_and_outer_whitespace_changes(tmp_path: Path) -> None:
    odd = "  a\\nb  \r\n\r\n\tc\rd \u3000e\u200b#Person1#:  x  \u3000\n"
    found = load(spec(write(tmp_path / "dev.csv", csv_text([row(1, dialogue=odd)]))), PLUGINS, "dev")
    assert found[0].dialogue == "a\\nb  \n\n\tc\rd \u3000e\u200b#Person1#:  x"


def test_nul_and_byte_order_marks_go_and_the_sample_says_so(tmp_path: Path) -> None:
    rows = [row(0, summary="\0요약\ufeff"), row(1, topic="\0"), row(2, dialogue=f"\ufeff{KOREAN}")]
    file = write(tmp_path / "d.jsonl", "\n".join(map(json.dumps, rows)))
    samples = load(spec(file, format="jsonl"), PLUGINS, "dev")
    assert [s.references for s in samples] == [("요약",), ("요약 1",), ("요약 2",)]
    assert samples[1].topic is None and samples[2].dialogue == KOREAN
    assert [s.repaired for s in samples] == [("NUL", "byte order mark"), (), ("byte order mark",)]


def test_a_reference_of_nothing_but_nul_is_empty(tmp_path: Path) -> None:
    file = write(tmp_path / "d.jsonl", json.dumps(row(0, summary="\0")))
    assert "row 1 (line 1), column 'summary': empty" in refused(spec(file, format="jsonl"))


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_utf16_and_its_like_are_read(tmp_path: Path, encoding: str) -> None:
    rows = [row(0, topic="t"), row(1, topic="u")]
    file = write(tmp_path / "dev.csv", csv_text(rows), encoding)
    assert load(spec(file), PLUGINS, "dev") == expected(rows)
    file = write(tmp_path / "dev.jsonl", "\n".join(json.dumps(r, ensure_ascii=False) for r in rows), encoding)
    assert load(spec(file, format="jsonl"), PLUGINS, "dev") == expected(rows)


def test_a_half_character_in_utf16_is_named(tmp_path: Path) -> None:
    file = tmp_path / "dev.csv"
    file.write_bytes(csv_text([row(0)]).encode("utf-16")[:-1])
    assert "is not UTF-16, as which the file begins; save it as UTF-8" in refused(spec(file))


@pytest.mark.parametrize(
    ("name", "delimiter", "first"),
    [("d.csv", ";", ""), ("d.csv", "\t", ""), ("d.csv", "|", ""), ("d.tsv", ",", ""), ("d.csv", ";", "sep=;\r\n")],
)
def test_the_delimiter_is_that_of_the_header(tmp_path: Path, name: str, delimiter: str, first: str) -> None:
    rows = [row(0, dialogue="#Person1#: 하나, 둘; 셋", topic="t"), row(1, topic="u")]
    file = write(tmp_path / name, first + csv_text(rows, delimiter=delimiter))
    assert load(spec(file), PLUGINS, "dev") == expected(rows)
    write(file, first + csv_text([row(0, dialogue="한 줄"), row(0)], delimiter=delimiter))
    assert f"row 2 (line {3 + bool(first)})" in refused(spec(file))


def test_byte_order_marks_before_the_header_are_overlooked_and_invisible_ones_inside_it_shown(tmp_path: Path) -> None:
    rows = [row(0, topic="t")]
    file = write(tmp_path / "dev.csv", "\ufeff\ufeff" + csv_text(rows))
    assert load(spec(file), PLUGINS, "dev") == expected(rows)
    write(file, csv_text(rows).replace("id,", "i\u200bd,", 1))
    assert r"there are 'i\u200bd', 'dialogue'" in refused(spec(file))


def test_a_row_may_lack_one_of_several_references(tmp_path: Path) -> None:
    file = write(tmp_path / "dev.csv", "id,dialogue,s1,s2\na,b,하나,둘\nc,d,셋,\n")
    columns = {"summary": ("s1", "s2")}
    assert [s.references for s in load(spec(file, columns=columns), PLUGINS, "dev")] == [("하나", "둘"), ("셋",)]
    assert "no column 's3'" in refused(spec(file, columns={"summary": ("s1", "s3")}))
    write(file, "id,dialogue,s1,s2\na,b,하나,둘\nc,d,,\n")
    assert "row 2 (line 3), column 's1': empty" in refused(spec(file, columns=columns))


def test_a_json_array_is_read(tmp_path: Path) -> None:
    rows = [row(0, topic="t"), row(1, topic="u")]
    file = write(tmp_path / "dev.json", json.dumps(rows, ensure_ascii=False, indent=2))
    assert load(spec(file, format="jsonl"), PLUGINS, "dev") == expected(rows)
    write(file, json.dumps([rows[0], 5]))
    assert f"{file}, row 2: the array must hold objects" in refused(spec(file, format="jsonl"))
    write(file, json.dumps(rows, indent=2)[:-2] + ",]")
    assert ": not valid JSON: " in refused(spec(file, format="jsonl"))
    write(file, json.dumps({"data": rows, "count": 2}, indent=2))
    assert load(spec(file, format="jsonl"), PLUGINS, "dev") == expected(rows)
    write(file, json.dumps({"mine": rows}, indent=2))
    assert "write an array of objects, or one object on each line" in refused(spec(file, format="jsonl"))


def test_a_dialogue_may_be_longer_than_the_csv_module_allows_by_default(tmp_path: Path) -> None:
    long = "가나다 " * 100_000
    found = load(spec(write(tmp_path / "dev.csv", csv_text([row(1, dialogue=long)]))), PLUGINS, "dev")
    assert len(found[0].dialogue) == 399_999


# -- columns ----------------------------------------------------------------------------------------------------


def test_columns_are_mapped_and_a_nameless_index_is_left_out(tmp_path: Path) -> None:
    text = ",fname,text,s1,s2\n0,d1,안녕,첫째,둘째\n1,d2,네,하나,둘\n"
    columns = {"id": "fname", "dialogue": "text", "summary": ("s2", "s1")}
    found = load(spec(write(tmp_path / "dev.csv", text), columns=columns), PLUGINS, "dev")
    assert found == (Sample("d1", "안녕", ("둘째", "첫째")), Sample("d2", "네", ("둘", "하나")))


def test_references_may_be_a_list_and_ids_numbers_in_jsonl(tmp_path: Path) -> None:
    first = '{"id": 7, "dialogue": "d", "summary": ["a", "b"], "topic": null}'
    second = '{"id": "8", "dialogue": "e", "summary": "c"}'
    found = load(spec(write(tmp_path / "dev.jsonl", f"{first}\n\n{second}"), format="jsonl"), PLUGINS, "dev")
    assert found == (Sample("7", "d", ("a", "b")), Sample("8", "e", ("c",)))


def test_without_references_those_there_are_are_taken(tmp_path: Path) -> None:
    text = "id,dialogue,summary\nd1,안녕,요약\nd2,네,\n"
    dataset = spec(write(tmp_path / "dev.csv", text))
    assert [s.references for s in load(dataset, PLUGINS, "dev", references=False)] == [("요약",), ()]
    assert (
        refused(dataset) == f"{tmp_path}/dev.csv, row 2 (line 3), column 'summary': empty; fill it in or remove the row"
    )


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


# -- splits -----------------------------------------------------------------------------------------------------


def splits(dataset: DatasetSpec) -> tuple[str, ...]:
    return PLUGINS.datasets[dataset.format](dataset).splits()


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


# -- the research data ------------------------------------------------------------------------------------------


def test_dialogsum_ko_as_it_was_published(shared_data: Path) -> None:
    dataset = spec(shared_data / "dialogsum-ko" / "{split}.csv", columns={"id": "fname"})
    dev = load(dataset, PLUGINS, "dev")
    # Oracle: pandas, which the field reads these files with.
    pandas = pytest.importorskip("pandas")
    frame = pandas.read_csv(shared_data / "dialogsum-ko" / "dev.csv")
    assert len(dev) == 499 == len(frame)
    assert [s.id for s in dev] == list(frame.fname)
    assert [s.dialogue for s in dev] == [clean(t) for t in frame.dialogue]
    assert [s.references for s in dev] == [(clean(t),) for t in frame.summary]
    assert [s.topic for s in dev] == [clean(t) for t in frame.topic]


def test_dialogsum_ko_test_has_no_references(shared_data: Path) -> None:
    dataset = spec(shared_data / "dialogsum-ko" / "{split}.csv", columns={"id": "fname"})
    found = load(dataset, PLUGINS, "test", references=False)
    assert len(found) == 499 and not any(s.references for s in found)
    assert "no column 'summary'; there are 'fname', 'dialogue'; scores need" in refused(dataset, "test")


def test_dialogsum_en(shared_data: Path) -> None:
    dataset = spec(shared_data / "dialogsum-en" / "{split}.jsonl", format="jsonl", columns={"id": "fname"})
    found = load(dataset, PLUGINS, "dev")
    assert len(found) == 500 and all(len(s.references) == 1 for s in found)


def test_the_embedded_samples_load() -> None:
    dataset = registry().dataset("samples-ko")
    assert splits(dataset) == ("dev", "test", "train")
    counts = {split: {len(s.references) for s in load(dataset, PLUGINS, split)} for split in ("train", "dev")}
    assert counts["dev"] == {2}
    assert counts["train"] == {1}
    assert len(load(dataset, PLUGINS, "test", references=False)) > 10
