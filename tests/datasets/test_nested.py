"""Nested JSON: columns with dots, turns as lists, all records inside one object."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsum_bench.datasets.load import load
from dsum_bench.datasets.nested import dialogue_of, flat
from dsum_bench.dialogue import split_turns
from dsum_bench.errors import UserError
from dsum_bench.plugins import Plugins
from dsum_bench.spec import DatasetSpec, PluginSettings

PLUGINS = Plugins(PluginSettings(packages=()))
COLUMNS = {
    "id": "header.info.dialogueID",
    "dialogue": "body.dialogue",
    "summary": "body.summary",
    "topic": "header.info.topic",
}


def record(number: int, **body: Any) -> dict[str, Any]:
    turns = [
        {"utteranceID": "U1", "participantID": "P01", "time": "12:00", "utterance": f"어디 가?\n{number}"},
        {"utteranceID": "U2", "participantID": "P02", "time": "12:01", "utterance": "바다."},
    ]
    info = {"dialogueID": f"d{number}", "topic": "여행"}
    return {"header": {"info": info}, "body": {"dialogue": turns, "summary": "둘이 바다에 간다.", **body}}


def dataset(folder: Path, content: object, **changes: Any) -> DatasetSpec:
    (folder / "dev.json").write_text(json.dumps(content, ensure_ascii=False, indent=1), encoding="utf-8")
    return DatasetSpec("mine", "jsonl", str(folder / "dev.json"), columns=COLUMNS, origin="registry.toml", **changes)


@pytest.mark.parametrize("around", [lambda rows: rows, lambda rows: {"numberOfItems": 2, "data": rows}])
def test_columns_with_dots_and_turns_as_objects_are_read(tmp_path: Path, around: Any) -> None:
    first, second = load(dataset(tmp_path, around([record(1), record(2)])), PLUGINS, "dev")
    assert first.dialogue == "P01: 어디 가? 1\nP02: 바다." and split_turns(first.dialogue) == first.dialogue.split("\n")
    assert (second.id, second.references, second.topic) == ("d2", ("둘이 바다에 간다.",), "여행")


def test_records_inside_one_object_on_one_line_are_read(tmp_path: Path) -> None:
    spec = dataset(tmp_path, [])
    Path(spec.path).write_text(json.dumps({"data": [record(1)]}), encoding="utf-8")
    assert [s.id for s in load(spec, PLUGINS, "dev")] == ["d1"]


def test_a_record_that_has_a_list_called_data_is_a_record(tmp_path: Path) -> None:
    """Lines of a JSON Lines file are not taken for an object around all records."""
    rows = [{"id": f"d{n}", "dialogue": "A: 네\nB: 응", "summary": "그렇다.", "data": [{"a": 1}]} for n in range(2)]
    (tmp_path / "dev.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    spec = DatasetSpec("mine", "jsonl", str(tmp_path / "dev.jsonl"))
    assert [s.id for s in load(spec, PLUGINS, "dev")] == ["d0", "d1"]


def test_a_list_that_is_no_dialogue_is_refused_as_before(tmp_path: Path) -> None:
    spec = dataset(tmp_path, [record(1, dialogue=[{"utterance": "네"}, {"what": "?"}])])
    with pytest.raises(UserError, match=r"row 1, column 'body.dialogue': must be a string, not \[\{"):
        load(spec, PLUGINS, "dev")


def test_a_missing_column_names_those_inside(tmp_path: Path) -> None:
    spec = dataset(tmp_path, [record(1)])
    wrong = DatasetSpec("mine", "jsonl", spec.path, columns={**COLUMNS, "summary": "body.sumary"})
    with pytest.raises(UserError, match=r"no column 'body.sumary'.*'body.summary'.*did you mean 'body.summary'"):
        load(wrong, PLUGINS, "dev")


@pytest.mark.parametrize(
    ("turns", "expected"),
    [
        (["가", "나"], "가\n나"),
        ([{"speaker": "A", "text": "네"}, {"speaker": "B", "text": "응"}], "A: 네\nB: 응"),
        ([{"role": "user", "content": "hi"}], "user: hi"),
        ([{"speaker_id": 1, "form": "네"}], "1: 네"),
        ([{"Speaker": "#Person1#:", "Utterance": " 네 "}], "#Person1#: 네"),
        ([{"text": "혼자"}], "혼자"),
        ([], None),
        ([1], None),
        ([{"speaker": "A"}], None),
    ],
)
def test_lists_of_turns(turns: list[object], expected: str | None) -> None:
    assert dialogue_of(turns) == expected


KEYS = st.text("abc", min_size=1, max_size=3)
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text("abc", min_size=1, max_size=3), inner, max_size=3)
    ),
    max_leaves=12,
)


@given(st.dictionaries(KEYS, JSON, max_size=4))
def test_dotted_names_lead_where_they_say(values: dict[str, Any]) -> None:
    found = flat(values)
    assert {k: v for k, v in found.items() if "." not in k} == values
    for name, value in found.items():
        inside: Any = values
        for key in name.split("."):
            inside = inside[key]
        assert inside == value
