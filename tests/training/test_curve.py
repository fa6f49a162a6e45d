"""What the loop tells of itself: points, skipped updates, and numbers that are none."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf, nan
from typing import Any

import pytest

from dsum_bench.errors import ModelError
from dsum_bench.training.job import CurvePoint


@dataclass
class State:
    global_step: int = 0
    max_steps: int = 100
    is_world_process_zero: bool = True


class Engine:
    def peak_memory(self) -> int:
        return 7


def logged(rows: list[dict[str, float]], skips: bool) -> list[CurvePoint]:
    """The points that transformers' Trainer's log makes, one row a step."""
    from dsum_bench.training.curve import CurveCallback

    told: list[Any] = []
    callback = CurveCallback("x", Engine(), told.append, skips)  # type: ignore[arg-type]
    for step, row in enumerate(rows, start=1):
        callback.on_log(None, State(step), None, logs=row)
    return told


def test_updates_that_float16_skips_are_counted_and_no_failure() -> None:
    """The first updates overflow by design, until the scale of the loss has come down to what fits."""
    rows = [{"loss": 2.0, "grad_norm": norm} for norm in (inf, nan, 1.0, inf, 1.0)]
    told = logged([*rows, {"eval_loss": 1.5}], skips=True)
    assert [point.values.get("skipped") for point in told] == [1, 2, 2, 3, 3, None]
    assert [point.values.get("grad_norm") for point in told] == [None, None, 1.0, None, 1.0, None]
    # A run in which none is skipped has no such curve.
    assert "skipped" not in logged([{"loss": 2.0, "grad_norm": 1.0}], skips=True)[0].values


def test_a_gradient_that_overflows_at_every_scale_is_a_failure() -> None:
    row = {"loss": 2.0, "grad_norm": inf}
    assert len(logged([row] * 50, skips=True)) == 50
    with pytest.raises(ModelError, match=r"in each of the last 51 updates, up to step 51; lower lr"):
        logged([row] * 51, skips=True)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ({"loss": inf, "grad_norm": 1.0}, "the loss is inf at step 1"),
        ({"loss": nan, "grad_norm": 1.0}, "the loss is nan at step 1"),
        ({"loss": 1.0, "grad_norm": inf}, "the gradient is inf at step 1"),
        ({"eval_loss": inf}, "the evaluation loss is inf at step 1"),
    ],
)
def test_a_number_that_is_not_finite_ends_a_training(row: dict[str, float], told: str) -> None:
    with pytest.raises(ModelError, match=told):
        logged([row], skips=False)


def test_an_infinite_loss_is_no_skipped_update() -> None:
    with pytest.raises(ModelError, match="the loss is inf"):
        logged([{"loss": inf, "grad_norm": inf}], skips=True)
