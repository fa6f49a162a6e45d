"""Checks of scores look at every metric, not at the first that is wrong."""

from __future__ import annotations

from store_runs import make_run

from dsum_bench.checks.base import RunOutputs, Values
from dsum_bench.checks.scores import NotAboveConstant, RougeShape, Sum


def values(r1: float, r2: float, rl: float, total: float | None = None) -> Values:
    whole = r1 + r2 + rl if total is None else total
    mean = (r1 + r2 + rl) / 3
    return {f"s{i}": {"rouge1": r1, "rouge2": r2, "rougeL": rl, "sum": whole, "mean": mean} for i in range(8)}


def written(by_signature: dict[str, Values], constants: dict[str, Values] | None = None) -> RunOutputs:
    samples = dict.fromkeys(f"s{i}" for i in range(8))
    return RunOutputs(make_run(n=8), samples, {}, True, (), by_signature, constants or {})  # type: ignore[arg-type]


def test_a_wrong_metric_does_not_hide_the_next() -> None:
    run = written(
        {
            "low": values(50.0, 20.0, 10.0),
            "fine": values(50.0, 20.0, 45.0),
            "high": values(50.0, 20.0, 60.0),
            "sums": values(50.0, 20.0, 45.0, total=100.0),
            "sums again": values(50.0, 20.0, 45.0, total=120.0),
        }
    )
    assert [(f.signature, f.level) for f in RougeShape().after(run)] == [("low", "warning"), ("high", "error")]
    assert [f.signature for f in Sum().after(run)] == ["sums", "sums again"]


def test_the_finding_about_the_constant_is_made_by_metric_and_not_stored() -> None:
    low, high = values(10.0, 5.0, 10.0), values(40.0, 20.0, 40.0)
    run = written({"a": low, "b": high}, {"a": high, "b": low, "c": low})
    assert [f.signature for f in NotAboveConstant().after(run)] == ["a"]
    assert not NotAboveConstant.stored
