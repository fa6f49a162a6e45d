"""Data files as they come: several encodings, several shapes; what is read is what was written."""

from __future__ import annotations

import csv
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from data_files import KOREAN, PLUGINS, csv_text, refused, row, spec, splits, write
from hypothesis import given, settings
from hypothesis import strategies as st

from dsum_bench.datasets.load import load
from dsum_bench.registry.load import load as registry
from dsum_bench.spec import Sample

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
    assert "is not UTF-16, although the file starts like it; save it as UTF-8" in refused(spec(file))


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
