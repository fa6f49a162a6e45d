"""Entries that are guessed from data files: right for files as people have them, and never in the way of one there."""

from __future__ import annotations

import csv
import json
import tomllib
from pathlib import Path
from typing import Any

import pytest
from commands import Dsum
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dsum_bench import Bench
from dsum_bench.datasets.guess import guess
from dsum_bench.dialogue import split_turns
from dsum_bench.errors import UserError
from dsum_bench.registry.entries import append_dataset, dataset_entry
from dsum_bench.spec import DatasetSpec

TAGGED = "#Person1#: 몇 시에 만날까?\n#Person2#: 세 시에 보자."


def table(file: Path, rows: list[dict[str, Any]], encoding: str = "utf-8", delimiter: str = ",") -> Path:
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", encoding=encoding, newline="") as out:
        writer = csv.DictWriter(out, list(rows[0]), delimiter=delimiter)
        writer.writeheader()
        writer.writerows(rows)
    return file


def row(number: int, **changes: Any) -> dict[str, Any]:
    summary = f"{number}번째 두 사람은 세 시에 만나기로 한다."
    return {"fname": f"d{number}", "dialogue": f"{TAGGED} {number}", "summary": summary, "topic": "약속", **changes}


def rows(count: int = 5, **changes: Any) -> list[dict[str, Any]]:
    return [row(n, **changes) for n in range(count)]


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.chdir(tmp_path)
    return Bench(results=tmp_path / "results", progress=None)


# -- columns ----------------------------------------------------------------------------------------------------


def renamed(names: dict[str, str]) -> list[dict[str, Any]]:
    return [{names[key]: value for key, value in r.items()} for r in rows()]


@pytest.mark.parametrize(
    "names",
    [
        {"fname": "번호", "dialogue": "대화", "summary": "요약문", "topic": "주제"},
        {"fname": "dialogue_id", "dialogue": "dialogue_text", "summary": "reference", "topic": "category"},
        {"fname": "uid", "dialogue": "transcript", "summary": "output", "topic": "subject_keyword"},
        {"fname": "key", "dialogue": "a", "summary": "b", "topic": "주제"},  # by what is in them
    ],
)
def test_columns_are_found_by_name_and_content(tmp_path: Path, names: dict[str, str]) -> None:
    found = guess(table(tmp_path / "calls.csv", renamed(names)))
    ours = {"id": names["fname"], **{k: names[k] for k in ("dialogue", "summary", "topic")}}
    assert dict(found.spec.columns) == {k: v for k, v in ours.items() if k != v}
    assert (found.spec.format, found.spec.language, found.spec.turns) == ("csv", "ko", "")


def test_several_references_are_one_list(tmp_path: Path) -> None:
    several = [
        {"id": f"d{n}", "dialogue": TAGGED, "summary1": "갑니다 곧.", "summary2": "온다.", "summary3": ""}
        for n in range(4)
    ]
    several[0]["summary3"] = "봅니다."
    found = guess(table(tmp_path / "x.csv", several))
    assert found.spec.columns == {"summary": ("summary1", "summary2", "summary3")}


def test_what_a_file_lacks_is_told(tmp_path: Path) -> None:
    without = guess(table(tmp_path / "t.csv", [{"fname": f"d{n}", "dialogue": TAGGED} for n in range(3)]))
    assert "no column contains references; screen needs them, predict does not" in without.notes
    some = guess(table(tmp_path / "s.csv", [*rows(3), row(3, summary="")]))
    assert "1 of 4 rows have no reference" in some.notes
    for columns, words in (
        ([{"id": "1", "score": "0.5"}], "no column contains dialogues; the columns are id, score"),
        ([{"dialogue": TAGGED, "summary": "x"}] * 2, "no column has a unique value in each row"),
    ):
        with pytest.raises(UserError, match=words):
            guess(table(tmp_path / "w.csv", columns))
    with pytest.raises(UserError, match=r"must end in \.csv"):
        guess(tmp_path / "data.xlsx")
    with pytest.raises(UserError, match="cannot be read"):
        guess(tmp_path / "none.csv")


def test_nested_files_have_columns_with_dots(bench: Bench, tmp_path: Path) -> None:
    turns = [{"participantID": "P01", "utterance": "어디 가?"}, {"participantID": "P02", "utterance": "바다."}]
    data = [
        {
            "header": {"dialogueID": f"x{n}", "topic": "여행"},
            "body": {"dialogue": turns, "summary": f"바다에 간다. {n}"},
        }
        for n in range(3)
    ]
    (tmp_path / "hub.json").write_text(json.dumps({"count": 3, "data": data}, indent=2), encoding="utf-8")
    found = bench.guess_dataset("hub.json")
    assert found.spec.columns == {
        "id": "header.dialogueID", "dialogue": "body.dialogue", "summary": "body.summary", "topic": "header.topic",
    }  # fmt: skip
    assert "dev: 3 dialogues, 3 of them with references" in found.notes
    nikl = [{"id": "n1", "input": {"conversation": [], "subject_keyword": ["약속"]}, "output": "요약"}]
    (tmp_path / "nikl.json").write_text(json.dumps(nikl), encoding="utf-8")
    assert guess(tmp_path / "nikl.json").spec.format == "nikl"


def test_parquet_is_looked_at_too(bench: Bench, tmp_path: Path) -> None:
    import pyarrow as pa
    from pyarrow import parquet

    for split in ("train", "validation"):
        nested = [
            {"id": r["fname"], "talk": {"turns": r["dialogue"].split("\n")}, "summary": r["summary"]} for r in rows()
        ]
        parquet.write_table(pa.Table.from_pylist(nested), tmp_path / f"{split}-00000-of-00001.parquet")
    found = bench.guess_dataset("train-00000-of-00001.parquet", "talks")
    assert (found.spec.format, found.spec.path) == ("parquet", "{split}-00000-of-00001.parquet")
    assert found.spec.columns == {"dialogue": "talk.turns"} and found.spec.default_split == "validation"


# -- turns, encoding, splits ------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", ["{}> {}", "({}) {}", "[{}] {}", "<{}> {}", "{} | {}", "{}\t{}", "{}; {}", "{} - {}"])
def test_other_ways_to_write_turns_become_a_pattern(tmp_path: Path, form: str) -> None:
    said = [
        ("상담원", "안녕하세요, 무엇을 도와드릴까요?"),
        ("고객", "예약을 바꾸고 싶어요."),
        ("상담원", "네, 알겠습니다."),
    ]
    text = "\n".join(form.format(who, words) for who, words in said)
    found = guess(table(tmp_path / "x.csv", [row(n, dialogue=text) for n in range(4)]))
    assert found.spec.turns
    assert [t.split("\n") for t in split_turns(text, found.spec.turns)] == [[line] for line in text.split("\n")]


def test_the_usual_forms_need_no_pattern_and_prose_gets_none(tmp_path: Path) -> None:
    assert guess(table(tmp_path / "x.csv", rows())).spec.turns == ""
    prose = [row(n, dialogue="두 사람이 만났다.\n그리고 갔다." * 3) for n in range(4)]
    found = guess(table(tmp_path / "y.csv", prose))
    assert found.spec.turns == "" and any("set the pattern that starts a turn" in note for note in found.notes)


@pytest.mark.parametrize(("encoding", "expected"), [("cp949", "auto"), ("utf-16", "auto"), ("johab", "johab")])
def test_encodings(bench: Bench, tmp_path: Path, encoding: str, expected: str) -> None:
    found = bench.guess_dataset(table(tmp_path / "x.csv", rows(), encoding))
    assert found.spec.encoding == expected
    assert "dev: 5 dialogues, 5 of them with references" in found.notes


def test_splits_in_the_name_become_the_pattern(bench: Bench, tmp_path: Path) -> None:
    for split in ("train", "dev", "test"):
        table(tmp_path / "data" / "calls" / f"calls_{split}.tsv", rows(), delimiter="\t")
    found = bench.guess_dataset(tmp_path / "data" / "calls" / "calls_train.tsv")
    assert (found.spec.name, found.spec.path) == ("calls", "data/calls/calls_{split}.tsv")
    assert found.spec.default_split == "dev"
    assert [note.partition(":")[0] for note in found.notes[-3:]] == ["dev", "test", "train"]
    lone = bench.guess_dataset(table(tmp_path / "meetings" / "validation.csv", rows()))
    assert (lone.spec.name, lone.spec.default_split) == ("meetings", "validation")
    word = bench.guess_dataset(table(tmp_path / "contest.csv", rows()))
    assert (word.spec.name, word.spec.path) == ("contest", "contest.csv")  # 'test' inside a word is no split


def test_english_is_told_from_korean(tmp_path: Path) -> None:
    english = [
        row(n, dialogue="#Person1#: When?\n#Person2#: At three.", summary="They meet at three.") for n in range(3)
    ]
    assert guess(table(tmp_path / "e.csv", english)).spec.language == "en"
    assert guess(table(tmp_path / "k.csv", rows(dialogue="#Person1#: 네\n#Person2#: 응"))).spec.language == "ko"


# -- the entry --------------------------------------------------------------------------------------------------

NAMES = st.text(st.characters(exclude_categories=["Cs", "Cc"]), min_size=1, max_size=8)


@settings(suppress_health_check=[HealthCheck.too_slow])  # it is the machine that may be slow
@given(st.dictionaries(st.sampled_from(["id", "dialogue", "topic"]), NAMES), st.lists(NAMES, max_size=3), NAMES, NAMES)
def test_entries_say_in_toml_what_the_spec_says(
    columns: dict[str, Any], several: list[str], path: str, turns: str
) -> None:
    if several:
        columns = {**columns, "summary": tuple(several)}
    spec = DatasetSpec("a.b", "csv", path, columns, turns=turns)
    (read,) = tomllib.loads(dataset_entry(spec))["datasets"].values()
    assert (read["path"], read["turns"]) == (path, turns)
    assert {k: tuple(v) if isinstance(v, list) else v for k, v in read.get("columns", {}).items()} == columns


def test_an_entry_is_added_behind_what_is_there_and_never_over_it(tmp_path: Path) -> None:
    file = tmp_path / "registry.toml"
    before = '# mine\nplugins = []\n\n[models.m]\nsource = "./m"   # a comment\nadapter = "chat"'
    file.write_text(before, encoding="utf-8")
    append_dataset(file, "calls", '[datasets.calls]\nformat = "csv"\n')
    assert file.read_text(encoding="utf-8") == before + '\n\n[datasets.calls]\nformat = "csv"\n'
    with pytest.raises(UserError, match="already has a dataset 'calls'; choose another name with --name"):
        append_dataset(file, "calls", '[datasets.calls]\nformat = "jsonl"\n')
    for broken in ("[models", "datasets = 1\n", "[datasets]\ncalls = {}\n"):
        file.write_text(broken, encoding="utf-8")
        with pytest.raises(UserError):
            append_dataset(file, "calls", "[datasets.calls]\n")
        assert file.read_text(encoding="utf-8") == broken
    assert [p.name for p in tmp_path.iterdir()] == ["registry.toml"]


def test_the_command_writes_an_entry_that_the_other_commands_use(tmp_path: Path) -> None:
    names = {"fname": "번호", "dialogue": "대화", "summary": "요약문", "topic": "주제"}
    table(tmp_path / "calls" / "train.csv", renamed(names), "cp949")
    dsum = Dsum(tmp_path)
    shown = dsum("data", "guess", "calls/train.csv")
    assert shown.returncode == 0 and not (tmp_path / "registry.toml").exists()
    assert tomllib.loads(shown.stdout)["datasets"]["calls"]["columns"]["dialogue"] == "대화"
    told = json.loads(dsum("data", "guess", "calls/train.csv", "--write", "--json").stdout)
    assert told["written"] and told["entry"] == (tmp_path / "registry.toml").read_text(encoding="utf-8")
    listed = {d["name"]: d["splits"] for d in json.loads(dsum("datasets", "--json").stdout)}
    assert listed["calls"] == {"train": 5}
    assert dsum("screen", "lead-3", "--dataset", "calls", "--no-controls").returncode == 0
    again = dsum("data", "guess", "calls/train.csv", "--write")
    assert again.returncode == 2 and "dataset 'calls' already exists in" in again.stderr and "already" in again.stderr
    shipped = dsum("data", "guess", "calls/train.csv", "--write", "--name", "samples-ko")
    assert shipped.returncode == 2 and "dataset 'samples-ko' already exists in dsum-bench" in shipped.stderr
    assert "is not a valid name" in dsum("data", "guess", "calls/train.csv", "--name", "My Calls").stderr


def test_files_of_the_field_are_guessed_right(shared_data: Path) -> None:
    korean = guess(shared_data / "dialogsum-ko" / "dev.csv").spec
    assert (dict(korean.columns), korean.language, korean.default_split) == ({"id": "fname"}, "ko", "dev")
    english = guess(shared_data / "dialogsum-en" / "train.jsonl").spec
    assert (dict(english.columns), english.format, english.language) == ({"id": "fname"}, "jsonl", "en")
