"""Checks of characters and turns, in files of summaries and in data: what is planted is found, ordinary text is not."""

from __future__ import annotations

import json
import sqlite3
import unicodedata
from collections.abc import Callable
from pathlib import Path
from statistics import fmean

import pytest
from commands import Dsum
from rouge import Rouge
from setups import in_data, in_summaries

from dsum_bench.datasets.load import load
from dsum_bench.metrics.tokenizers import Mecab
from dsum_bench.plugins import Plugins
from dsum_bench.registry.load import load as registry
from dsum_bench.spec import PluginSettings, Sample

PLUGINS = Plugins(PluginSettings(()))
DATASET = registry(plugins=PLUGINS, working_directory=Path("/")).dataset("samples-ko")


@pytest.fixture(scope="module")
def samples() -> tuple[Sample, ...]:
    return load(DATASET, PLUGINS, "dev")


def references(samples: tuple[Sample, ...], change: Callable[[str], str] = str) -> dict[str, str]:
    return {s.id: change(s.references[-1]) for s in samples}


@pytest.mark.parametrize("split", ["dev", "train"])
def test_nothing_is_found_in_the_shipped_data(split: str) -> None:
    assert in_data(load(DATASET, PLUGINS, split)) == {}


def test_decomposed_hangul_is_found_in_summaries_and_in_data(samples: tuple[Sample, ...]) -> None:
    found = in_summaries(samples, references(samples, lambda r: unicodedata.normalize("NFD", r)))["odd-characters"]
    assert (found.level, found.hit, found.total) == ("warning", 40, 40)
    assert "not NFC in 40" in found.text
    one = (*samples[1:], Sample("x", unicodedata.normalize("NFD", samples[0].dialogue), samples[0].references))
    assert in_data(one)["odd-characters"].hit == 1


def test_copies_that_look_alike_are_duplicates(samples: tuple[Sample, ...]) -> None:
    copies = [
        unicodedata.normalize("NFD", samples[0].dialogue),
        f"\u200b{samples[1].dialogue}",
        samples[2].dialogue.replace("#", "＃"),
    ]
    found = in_data((*samples, *(Sample(f"x{i}", d, ("요약",)) for i, d in enumerate(copies))))
    assert found["duplicates"].hit == 6
    assert found["odd-characters"].hit == 3


def test_what_was_taken_out_of_dialogues_or_summaries_is_noted(samples: tuple[Sample, ...]) -> None:
    repaired = (Sample("x", "#Person1#: 네", ("네",), repaired=("NUL",)), *samples)
    found = in_data(repaired)["repaired"]
    assert (found.level, found.hit, found.total) == ("note", 1, 41) and "NUL in 1" in found.text
    found = in_summaries(samples, references(samples, lambda r: f"\0{r}"))["repaired"]
    assert (found.level, found.hit) == ("note", 40)


def test_dialogues_whose_speakers_are_not_recognised_are_named(samples: tuple[Sample, ...]) -> None:
    dashes = tuple(Sample(s.id, s.dialogue.replace(": ", " - "), s.references) for s in samples)
    found = in_data(tuple(Sample(s.id, s.dialogue.replace("#", ""), s.references) for s in samples))
    assert "one-turn" not in found
    bare = tuple(Sample(s.id, s.dialogue.replace("#", "").replace(": ", " - "), s.references) for s in dashes)
    assert in_data(bare)["one-turn"].hit == 40
    said = tuple(Sample(s.id, s.dialogue, s.references, turns=r"Person\d - ") for s in bare)
    assert "one-turn" not in in_data(said)
    assert "one-turn" not in in_data((Sample("x", "#Person1#: 여보세요?", ("전화합니다.",)),))


# -- through the command line ---------------------------------------------------------------------------------


def test_a_nul_in_a_file_of_summaries_changes_no_score(dsum: Dsum, tmp_path: Path, samples: tuple[Sample, ...]) -> None:
    """Mecab stops at a NUL, so each of these scored 0."""
    rows = [{"id": s.id, "summary": f"\0{s.references[0]}"} for s in samples]
    (tmp_path / "p.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    dsum("score", "p.jsonl", "--metric", "rouge@mecab")
    cut, package = Mecab(), Rouge()
    wanted = []
    for s in samples:
        texts = [" ".join(cut(r)) for r in s.references]
        wanted.append(fmean(package.get_scores(texts[0], t)[0]["rouge-1"]["f"] for t in texts))
    with sqlite3.connect(tmp_path / "results" / "dsum.db") as db:
        ((mean,),) = db.execute("select mean from aggregates where measure = 'rouge1'").fetchall()
        ((level, hit),) = db.execute("select level, hit from findings where code = 'repaired'").fetchall()
    assert mean == pytest.approx(100 * fmean(wanted), abs=1e-9)
    assert (level, hit) == ("note", 40)


def test_data_of_controls_is_checked_too(dsum: Dsum, tmp_path: Path) -> None:
    words = "오늘 저녁에 무엇을 먹을지 정하지 못해서 한참 동안 이야기를 나누다가 결국 집에 가서 먹기로 했다는 긴 글"
    rows = [{"id": str(i), "dialogue": f"{i} {words * 2}", "summary": "저녁을 정합니다."} for i in range(5)]
    (tmp_path / "d.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    (tmp_path / "registry.toml").write_text('[datasets.mine]\nformat = "jsonl"\npath = "d.jsonl"\n', encoding="utf-8")
    done = dsum("screen", "--no-controls", "lead-3", "--dataset", "mine", "--metric", "rouge@char")
    assert "lead-3: warning [one-turn] 5 of 5 samples" in " ".join((done.stdout + done.stderr).split())
