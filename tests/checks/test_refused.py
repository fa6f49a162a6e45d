"""What an engine could not get, or noted, is told with the samples and in its own words."""

from __future__ import annotations

from store_runs import make_run

from dsum_bench.checks.base import RunOutputs
from dsum_bench.checks.outputs import Noted, Refused
from dsum_bench.spec import Finish, Generation, Output


def outputs(*told: tuple[Finish, str]) -> RunOutputs:
    made = {
        f"s{i}": Output(Generation(f"s{i}", "요약", 1, 1, finish, 0.1, note), "요약")
        for i, (finish, note) in enumerate(told)
    }
    return RunOutputs(make_run(n=len(made)), {}, made, complete=True)


def test_a_run_without_refusals_and_notes_has_no_finding() -> None:
    written = outputs(("stop", ""), ("length", ""))
    assert (Refused().after(written), Noted().after(written)) == (None, None)


def test_refused_samples_are_named_with_the_words_they_were_refused_with() -> None:
    written = outputs(("refused", "too long"), *[("stop", "")] * 8, ("refused", "bad"), ("refused", "too long"))
    found = Refused().after(written)
    assert found is not None
    assert (found.level, found.hit, found.total) == ("warning", 3, 11)
    assert "too long (sample 's0', 's10'); bad (sample 's9')" in found.text
    assert Noted().after(written) is None


def test_half_of_the_samples_refused_is_an_error() -> None:
    found = Refused().after(outputs(("refused", ""), ("stop", "")))
    assert found is not None
    assert found.level == "error"
    assert "no reason given (sample 's0')" in found.text


def test_the_three_most_frequent_notes_are_listed_once_each() -> None:
    notes = ["a", "b", "b", "c", "c", "c", "d", "e"]
    found = Noted().after(outputs(*[("stop", n) for n in notes]))
    assert found is not None
    assert (found.level, found.hit) == ("warning", 8)
    assert "noted: c (sample 's3', 's4', 's5'); b (sample 's1', 's2'); a (sample 's0'); 2 other notes" in found.text
