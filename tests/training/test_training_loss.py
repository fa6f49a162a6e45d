"""Six updates of every architecture, against a plain loop that calls each row alone (benchmarks/training_oracle.py)."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks.training_oracle import FAMILIES, Compared, checkpoints, compared, in_two_processes

CASES = [*((family, "full") for family in FAMILIES), ("llama", "lora"), ("bart", "lora"), ("llama", "qlora"),
         ("bart", "qlora")]  # fmt: skip


def assert_same(row: Compared) -> None:
    assert row.loss < 2e-5 and row.grad_norm < 1e-4 and row.eval_loss < 2e-5, row
    # AdamW makes a step of full size of a gradient that is nothing but rounding.
    assert row.weights < 2e-3, row


@pytest.mark.parametrize(("family", "recipe"), CASES)
def test_loss_gradient_and_weights_do_not_depend_on_accumulation(family: str, recipe: str, tmp_path: Path) -> None:
    checkpoints(tmp_path, [family])
    rows = list(compared(tmp_path, family, recipe, [1, 4]))
    assert [row.accumulate for row in rows] == [1, 4]
    for row in rows:
        assert_same(row)


@pytest.mark.slow
def test_two_processes_learn_what_one_does(tmp_path: Path) -> None:
    cases = [*((family, "full") for family in ("llama", "gemma3 with vision", "bart", "mbart", "t5", "mt5")),
             ("bart", "lora")]  # fmt: skip
    checkpoints(tmp_path, [family for family, _ in cases])
    rows = in_two_processes(tmp_path, cases, [1, 2])
    assert [(r.family, r.recipe, r.accumulate) for r in rows] == [(*case, a) for case in cases for a in (1, 2)]
    for row in rows:
        assert_same(row)
