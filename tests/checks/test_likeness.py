"""Summaries that are too like their references, those of other rows, or unlike them all are found; others are not."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import fmean

import pytest
from making import builtins
from setups import in_summaries

from dsum_bench.datasets.load import load
from dsum_bench.dialogue import split_turns
from dsum_bench.metrics.choose import build
from dsum_bench.registry.load import load as registry
from dsum_bench.spec import Sample

ENGLISH = "Two people talk about their plans for the evening and agree to meet later."
Change = Callable[[str], str]


@pytest.fixture(scope="module")
def people() -> tuple[tuple[Sample, ...], dict[str, str]]:
    """The dialogues with the first person's summaries for references, and the second's for what is judged."""
    dataset = registry(plugins=builtins(), working_directory=Path("/")).dataset("samples-ko")
    samples = load(dataset, builtins(), "dev")
    one = tuple(Sample(s.id, s.dialogue, s.references[:1]) for s in samples)
    return one, {s.id: s.references[1] for s in samples}


People = tuple[tuple[Sample, ...], dict[str, str]]


def found(people: People, change: Callable[[int, str], str] = lambda i, text: text) -> dict[str, tuple[str, int]]:
    samples, summaries = people
    changed = {i: change(n, text) for n, (i, text) in enumerate(summaries.items())}
    return {name: (f.level, f.hit) for name, f in in_summaries(samples, changed).items()}


# -- what is sane ---------------------------------------------------------------------------------------------


def test_another_persons_summaries_raise_nothing(people: People) -> None:
    assert found(people) == {}


@pytest.mark.parametrize("limit", [3, 40])
@pytest.mark.parametrize("turns", [1, 3])
def test_the_first_turns_from_a_file_raise_nothing_of_this_kind(people: People, limit: int, turns: int) -> None:
    samples = people[0][:limit]
    lead = {s.id: " ".join(split_turns(s.dialogue)[:turns]) for s in samples}
    assert set(in_summaries(samples, lead)) <= {"echo"}


def test_summaries_that_do_not_fit_any_row_are_not_shifted(people: People) -> None:
    assert found(people, lambda i, text: "#Person1#은 #Person2#에게 이야기를 합니다.").keys() == {"identical"}


# -- what is planted ------------------------------------------------------------------------------------------


def test_references_in_place_of_summaries(people: People) -> None:
    samples, _ = people
    first = {s.id: s.references[0] for s in samples}
    assert found((samples, first)) == {"too-good": ("error", 40)}
    # As file formats leave them, and when only a fifth is so.
    assert found((samples, first), lambda i, text: f" {text}\n")["too-good"] == ("error", 40)
    part = {i: first[i] if n % 5 == 0 else text for n, (i, text) in enumerate(people[1].items())}
    assert found((samples, part))["too-good"] == ("error", 8)


def test_a_mean_above_what_people_agree_on(people: People) -> None:
    samples, human = people
    metric = build(builtins(), "rouge@mecab")
    near = {s.id: " ".join(s.references[0].split()[:-1]) for s in samples}
    finding = in_summaries(samples, near, metric)["too-good"]
    assert finding.level == "error" and "two people's summaries agree at about 55" in finding.text
    assert in_summaries(samples, human, metric)["too-good"].level == "note"  # 64: one author wrote both
    assert "too-good" not in in_summaries(samples, {i: text[:30] for i, text in human.items()}, metric)


def test_references_of_the_data_say_how_much_people_agree(people: People) -> None:
    samples, human = people
    both = tuple(replace(s, references=(s.references[0], human[s.id])) for s in samples)
    metric = build(builtins(), "rouge@char")
    near = {s.id: " ".join(s.references[0].split()[:-2]) for s in samples}
    agreed = fmean(metric.score(human[s.id], s)["mean"] for s in samples)
    finding = in_summaries(both, near, metric)["too-good"]
    assert f"the references of this data agree at about {agreed:.0f}" in finding.text


@pytest.mark.parametrize("shift", [1, -1, 2, -3])
def test_rows_that_were_shifted(people: People, shift: int) -> None:
    texts = list(people[1].values())
    level, hit = found(people, lambda i, text: texts[(i + shift) % len(texts)])["shifted"]
    assert level == "error" and hit > 30


def test_tags_that_were_removed(people: People) -> None:
    said = found(people, lambda i, text: re.sub(r"#\w+#", "", text))
    assert said == {"unlike-references": ("warning", 38)}  # two references have no tags
    # Most of a system's summaries may do without.
    assert found(people, lambda i, text: re.sub(r"#\w+#", "그", text) if i % 3 else text) == {}


def test_latin_letters_that_were_removed(people: People) -> None:
    said = found(people, lambda i, text: re.sub(r"[A-Za-z]", "", text))
    assert said["unlike-references"][0] == "warning"
    untagged = tuple(Sample(s.id, s.dialogue, (f"Tom과 {i}층에서 만납니다.",)) for i, s in enumerate(people[0]))
    same = {s.id: f"{i}번째 사람을 만납니다." for i, s in enumerate(untagged)}
    assert "unlike-references" in found((untagged, same))


def test_another_script(people: People) -> None:
    assert found(people, lambda i, text: f"{ENGLISH} {i}")["unlike-references"] == ("error", 40)
    assert found(people, lambda i, text: f"{ENGLISH} {i}" if i % 8 == 0 else text)["unlike-references"] == (
        "warning",
        5,
    )
    assert found(people, lambda i, text: f"#Person1#告诉#Person2#他们今天去学校{i}")["unlike-references"] == (
        "error",
        40,
    )


def test_another_length(people: People) -> None:
    assert found(people, lambda i, text: text * 5)["unlike-references"][0] == "warning"
    assert found(people, lambda i, text: f"#Person1#은 말{i}")["unlike-references"][0] == "warning"
    assert "unlike-references" not in found(people, lambda i, text: text * 3)
