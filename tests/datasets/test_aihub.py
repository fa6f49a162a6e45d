"""Files in the layout of AI Hub's dialogue summaries, as public loaders describe it; the dialogues are our own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from loaded_engine import PLUGINS

from dsum_bench.datasets.load import load
from dsum_bench.errors import UserError
from dsum_bench.registry.load import load as load_registry
from dsum_bench.spec import DatasetSpec

COLUMNS = {
    "id": "header.dialogueInfo.dialogueID",
    "dialogue": "body.dialogue",
    "summary": "body.summary",
    "topic": "header.dialogueInfo.topic",
}


def record(number: int, topic: str) -> dict[str, Any]:
    said = [("P01", f"{number}시에 도서관 앞에서 볼까?"), ("P01", "책도 반납해야 해"), ("P02", "좋아 그때 봐 ㅎㅎ")]
    info = {"numberOfParticipants": 2, "numberOfUtterances": 3, "numberOfTurns": 2, "type": "일상 대화"}
    people = [
        {"age": "20대", "residentialProvince": "부산광역시", "gender": "여성", "participantID": p}
        for p in ("P01", "P02")
    ]
    turns = [
        {
            "utteranceID": f"U{n}",
            "turnID": "T1" if n < 3 else "T2",
            "participantID": who,
            "date": "2021-03-04",
            "time": "10:20:00",
            "utterance": text,
        }
        for n, (who, text) in enumerate(said, 1)
    ]
    about = {**info, "topic": topic, "dialogueID": f"{topic}-{number}"}
    summary = f"{number}시에 도서관 앞에서 만나 책을 반납하기로 한다."
    return {
        "header": {"dialogueInfo": about, "participantsInfo": people},
        "body": {"dialogue": turns, "summary": summary},
    }


def write(folder: Path, name: str, numbers: range) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    whole = {"numberOfItems": len(numbers), "data": [record(n, name) for n in numbers]}
    (folder / f"{name}.json").write_text(json.dumps(whole, ensure_ascii=False, indent=4), encoding="utf-8")


@pytest.fixture
def spec(tmp_path: Path) -> DatasetSpec:
    write(tmp_path / "valid", "여가", range(1, 4))
    write(tmp_path / "valid", "주거", range(1, 3))
    write(tmp_path / "train", "주거", range(3, 8))
    return DatasetSpec("aihub", "jsonl", str(tmp_path / "{split}" / "*.json"), COLUMNS, default_split="valid")


def test_the_topics_of_a_split_are_one_split(spec: DatasetSpec) -> None:
    assert PLUGINS.datasets["jsonl"](spec).splits() == ("train", "valid")
    found = load(spec, PLUGINS, "valid")
    assert [s.id for s in found] == ["여가-1", "여가-2", "여가-3", "주거-1", "주거-2"]
    assert len(load(spec, PLUGINS, "train")) == 5
    first = found[0]
    assert first.dialogue == "P01: 1시에 도서관 앞에서 볼까?\nP01: 책도 반납해야 해\nP02: 좋아 그때 봐 ㅎㅎ"
    assert (first.topic, first.references) == ("여가", ("1시에 도서관 앞에서 만나 책을 반납하기로 한다.",))


def test_a_fault_names_the_file_among_several(spec: DatasetSpec, tmp_path: Path) -> None:
    write(tmp_path / "valid", "행사", range(1, 2))
    file = tmp_path / "valid" / "행사.json"
    file.write_text(file.read_text(encoding="utf-8").replace("행사-1", "주거-2"), encoding="utf-8")
    with pytest.raises(UserError, match=r"행사\.json, row 1.*duplicate id '주거-2', first seen in .*주거\.json"):
        load(spec, PLUGINS, "valid")


def test_a_star_beside_the_split_takes_the_rest_of_the_name(spec: DatasetSpec, tmp_path: Path) -> None:
    for name in ("train_a", "train_b_c", "dev_a"):
        write(tmp_path / "flat", name, range(1, 2))
    flat = DatasetSpec("flat", "jsonl", str(tmp_path / "flat" / "{split}_*.json"), COLUMNS)
    assert {split: len(load(flat, PLUGINS, split)) for split in ("dev", "train")} == {"dev": 1, "train": 2}
    with pytest.raises(UserError, match="no file matches"):
        load(DatasetSpec("none", "jsonl", str(tmp_path / "flat" / "{split}_*.jsonl"), COLUMNS), PLUGINS, "dev")


def test_the_entry_of_the_how_to_reads_them(spec: DatasetSpec, tmp_path: Path) -> None:
    page = (Path(__file__).parents[2] / "docs/how-to/own-data.md").read_text(encoding="utf-8")
    entry = page[page.index("[datasets.aihub]") :].split("```", 1)[0].replace("aihub/{split}", "{split}")
    (tmp_path / "registry.toml").write_text(entry, encoding="utf-8")
    told = load_registry(plugins=PLUGINS, working_directory=tmp_path).dataset("aihub")
    assert load(told, PLUGINS, "valid") == load(spec, PLUGINS, "valid")
