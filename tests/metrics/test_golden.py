"""The reference table of controls, computed again by the oracle packages alone."""

from __future__ import annotations

import csv
import re
import tomllib
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from statistics import fmean

import pytest
from rouge import Rouge
from rouge_score.rouge_scorer import RougeScorer

ROOT = Path(__file__).parents[2]
TAG = re.compile(r"#[A-Za-z]\w*#")
Cut = Callable[[str], list[str]]


def morphemes() -> dict[str, Cut]:
    import MeCab
    from mecab import MeCab as Fork
    from mecab_ko_dic import dictionary_path

    tagger, fork = MeCab.Tagger(f'-r /dev/null -d "{dictionary_path}" -Owakati'), Fork()
    return {"mecab": lambda text: tagger.parse(text).split(), "mecab-ko": fork.morphs}


@cache
def cuts() -> dict[str, Cut]:
    found = morphemes()
    for name, cut in list(found.items()):
        found[f"{name}-tags"] = lambda text, cut=cut: [  # type: ignore[misc]  # mypy cannot infer a lambda with a default
            token
            for part in re.split(f"({TAG.pattern})", text)
            for token in ([part] if TAG.fullmatch(part) else cut(part))
        ]
    return {**found, "whitespace": str.split, "char": lambda text: list("".join(text.split()))}


class Joined:
    def tokenize(self, text: str) -> list[str]:
        return text.split("\0")


def package(name: str) -> Callable[[Sequence[str], Sequence[str]], list[float]]:
    if name == "rouge":
        rouge = Rouge()

        def values(ours: Sequence[str], theirs: Sequence[str]) -> list[float]:
            found = rouge.get_scores(" ".join(ours), " ".join(theirs))[0]
            return [found[m]["f"] for m in ("rouge-1", "rouge-2", "rouge-l")]

        return values
    scorer = RougeScorer(["rouge1", "rouge2", "rougeL"], tokenizer=Joined())
    return lambda ours, theirs: [s.fmeasure for s in scorer.score("\0".join(theirs), "\0".join(ours)).values()]


def turns(dialogue: str) -> list[str]:
    """Every line of DialogSum-ko dev begins with its speaker, but for a few that go on with the line before."""
    found: list[str] = []
    for line in dialogue.replace("\r\n", "\n").strip().split("\n"):
        if line.startswith("#Person") or not found:
            found.append(line.strip())
        else:
            found[-1] += f" {line.strip()}"
    return found


def answer(control: str, dialogue: str) -> str:
    said = turns(dialogue)
    if control == "lead-3":
        return " ".join(said[:3])
    if control == "longest-3":
        chosen = sorted(sorted(range(len(said)), key=lambda i: -len(said[i]))[:3])
        return " ".join(said[i] for i in chosen)
    shipped = tomllib.loads((ROOT / "registry.toml").read_text(encoding="utf-8"))
    return str(shipped["models"]["constant-ko"]["options"]["text"])


def table() -> list[list[str]]:
    lines = (ROOT / "results/reference/controls.md").read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip(" `") for cell in line.strip("|").split("|")] for line in lines if line.startswith("| `")]
    assert len(rows) == 3 * 2 * 6
    return rows


@pytest.mark.slow
@pytest.mark.parametrize("profile", ["rouge", "rouge-score"])
def test_the_table_is_what_the_packages_say(shared_data: Path, profile: str) -> None:
    with (shared_data / "dialogsum-ko" / "dev.csv").open(encoding="utf-8-sig", newline="") as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 499
    score = package(profile)
    for metric, control, *cells in table():
        name, _, tokenizer = metric.partition("@")
        if name != profile:
            continue
        cut = cuts()[tokenizer]
        found = [score(cut(answer(control, r["dialogue"])), cut(r["summary"].strip())) for r in rows]
        r1, r2, rl = (100 * fmean(column) for column in zip(*found, strict=True))
        assert cells[:4] == [f"{v:.2f}" for v in (r1, r2, rl, (r1 + r2 + rl) / 3)], (metric, control)
