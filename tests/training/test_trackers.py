"""Places besides the results database that a curve goes to."""

from __future__ import annotations

from pathlib import Path

import pytest
from tuning import place, train

ROWS = [(f"#Person1#: 네 {i}.", f"{i}번입니다.") for i in range(12)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return place(tmp_path, ROWS)


def test_the_evaluation_score_is_written_for_tensorboard(folder: Path) -> None:
    """Read by what tensorboard's own format says: each record names its tag in plain ASCII."""
    train(folder, "epochs=1", 'report=["tensorboard"]', "eval_rouge=2", dev_limit=4)
    (events,) = (folder / "results/training/mine@x").rglob("events.out.tfevents.*")
    written = events.read_bytes()
    assert written.count(b"train/loss") == 6
    assert written.count(b"eval/rouge") == written.count(b"eval/loss") == 1
