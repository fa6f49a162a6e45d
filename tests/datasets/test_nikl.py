"""Files in NIKL's layout: read, filled, and screened."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsum_bench import Bench, DatasetSpec, UserError
from dsum_bench.datasets.nikl import NiklReader, filled, nikl_records
from dsum_bench.testing import DatasetRules

FOLDER = files("dsum_bench.datasets").joinpath("samples_nikl")


def record(**changes: Any) -> dict[str, Any]:
    turns = [("SD1", "안녕하세요."), ("SD1", " 날씨가  좋네요."), ("SD2", "네."), ("SD1", "그래요.")]
    base = {
        "id": "nikl-1",
        "input": {
            "conversation": [{"speaker": s, "utterance": u} for s, u in turns],
            "subject_keyword": ["날씨", "산책"],
        },
        "output": "이 대화에서 화자들은 날씨에 대해 이야기했습니다.",
    }
    return base | changes


def rows(*records: Any) -> list[dict[str, Any]]:
    data = json.dumps(list(records), ensure_ascii=False).encode()
    return [dict(row.values) for row in nikl_records(data, "dev.json", "auto")]


def test_turns_of_one_speaker_that_follow_each_other_are_one() -> None:
    (row,) = rows(record())
    assert row["dialogue"] == "SD1: 안녕하세요. 날씨가 좋네요.\nSD2: 네.\nSD1: 그래요."
    assert row["topic"] == "날씨, 산책" and row["keywords"] == ["날씨", "산책"]
    assert row["id"] == "nikl-1" and row["summary"].startswith("이 대화에서")


def test_a_test_file_has_no_summaries() -> None:
    for empty in (record(output=""), {k: v for k, v in record().items() if k != "output"}):
        assert "summary" not in rows(empty)[0]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{}", "holds one array of objects"),
        ("[1]", "holds one array of objects"),
        ("[", "line 1: not valid JSON"),
        ('[{"id": "a"}]', "row 1: key 'input' is missing; is it a file of NIKL's"),
        ('[{"id": "a", "input": {"conversation": "x"}}]', "key 'input.conversation' must be a list"),
        ('[{"id": "a", "input": {"conversation": [{"speaker": "x"}]}}]', "item 1: key 'utterance' is missing"),
        ('[{"id": "a", "input": {"conversation": [], "subject_keyword": [1]}}]', "must be a list of strings"),
    ],
)
def test_another_layout_is_refused_with_its_place(text: str, told: str) -> None:
    with pytest.raises(UserError, match=rf"dev\.json.*{told}"):
        list(nikl_records(text.encode(), "dev.json", "auto"))


class TestNikl(DatasetRules):
    reader = NiklReader
    file = "dev.json"
    path = "{split}.json"
    text = json.dumps([record(), record(id="nikl-2", output="")], ensure_ascii=False)
    rows = tuple(rows(record(), record(id="nikl-2", output="")))


# -- filling ----------------------------------------------------------------------------------------------------


def outputs(data: bytes) -> list[str]:
    return [r["output"] for r in json.loads(data.decode("utf-8-sig"))]


@pytest.mark.parametrize("split", ["dev", "test", "train"])
def test_a_file_filled_with_what_it_has_is_the_same_byte_for_byte(split: str) -> None:
    data = FOLDER.joinpath(f"{split}.json").read_bytes()
    given = {r["id"]: r["output"] or "요약" for r in json.loads(data)}
    made = filled(data, "x.json", given)
    if split == "test":
        made = made.replace('"output": "요약"'.encode(), b'"output": ""')
    assert made == data


@given(
    st.lists(
        st.tuples(st.text(max_size=8), st.text(max_size=20), st.lists(st.text(max_size=4), max_size=2)), max_size=4
    ),
    st.sampled_from(["\n", "", "\r\n"]),
    st.booleans(),
)
def test_every_byte_but_those_of_the_output_stays(
    parts: list[tuple[str, str, list[str]]], end: str, mark: bool
) -> None:
    made = [
        {"id": f"i{n}", "input": {"conversation": [{"speaker": s, "utterance": u}], "subject_keyword": k}, "output": ""}
        for n, (s, u, k) in enumerate(parts)
    ]
    text = json.dumps(made, ensure_ascii=False, indent=4) + "\n"
    text = text.rstrip("\n") + end if end != "\r\n" else text.replace("\n", "\r\n")
    data = ("\ufeff" if mark else "").encode() + text.encode("utf-8", "surrogatepass")
    done = filled(data, "x.json", {f"i{n}": '가 "나"\n다' for n in range(len(parts))})
    assert done == data.replace(b'"output": ""', '"output": "가 \\"나\\"\\n다"'.encode())


def test_a_lacking_or_empty_summary_is_named_and_so_is_an_id_twice() -> None:
    data = FOLDER.joinpath("test.json").read_bytes()
    ids = [r["id"] for r in json.loads(data)]
    for known in ({}, {ids[0]: " ", ids[1]: "요약"}):
        with pytest.raises(UserError, match=f"no summary for . of 2 ids: {ids[0]}"):
            filled(data, "test.json", known)
    twice = json.dumps([record(), record()]).encode()
    with pytest.raises(UserError, match="'nikl-1' occurs twice"):
        filled(twice, "x.json", {"nikl-1": "요약"})


# -- as a dataset -----------------------------------------------------------------------------------------------


def test_the_shipped_dialogues_are_screened_with_the_control_of_their_genre(tmp_path: Path) -> None:
    bench = Bench(results=tmp_path / "results", progress=None)
    done = bench.screen("lead-3", "samples-nikl", metrics=["nikl@mecab-ko"])
    assert {run.model: run.status for run in done.runs}["constant-nikl"] == "done"
    board = bench.leaderboard("nikl@mecab-ko").set_index("model")
    assert board.loc["constant-nikl", "mean"] > board.loc["constant-ko", "mean"] + 10
    other = bench.plan("lead-3", "samples-ko")
    assert "constant-nikl" not in [c.run.model.name for c in other]
    everything = bench.plan("all", "samples-ko")
    assert "constant-nikl" not in [c.run.model.name for c in everything]


def test_its_prompt_has_topic_and_dialogue(tmp_path: Path) -> None:
    bench = Bench(results=tmp_path / "results", progress=None)
    prompt = bench.registry.prompt("ko-nikl")
    (first, *_) = bench._dialogues("samples-nikl", "dev").selection.samples
    assert "{topic}" in prompt.user and first.topic == "반려식물"
    assert int(str(bench.registry.decoding("long").params["max_new_tokens"])) >= 512


def test_a_test_file_is_handed_in_as_it_came(tmp_path: Path) -> None:
    sample = tmp_path / "test.json"
    sample.write_bytes(FOLDER.joinpath("test.json").read_bytes())
    bench = Bench(results=tmp_path / "results", progress=None)
    bench._dataset(DatasetSpec("mine", "nikl", str(tmp_path / "{split}.json"), origin="test"))
    output = tmp_path / "submission.json"
    table = bench.predict("lead-3", output, "mine", split="test", like=sample)
    assert outputs(output.read_bytes()) == list(table["summary"])
    made = json.loads(output.read_text(encoding="utf-8"))
    assert [r | {"output": ""} for r in made] == json.loads(sample.read_text(encoding="utf-8"))
