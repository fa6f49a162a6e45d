"""Places besides the results database that a curve goes to."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from tuning import job_of, place, train

from dsum_bench.errors import UserError
from dsum_bench.training import trackers

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


# -- what would be found out late ---------------------------------------------------------------------------------


def test_a_tracker_that_is_not_installed_is_told_before_planning(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trackers, "find_spec", lambda name: None)
    with pytest.raises(UserError, match=r"the package is missing; pip install 'dsum-bench\[wandb\]'"):
        job_of(folder, 'report=["wandb"]')


def test_nobody_logged_in_is_told_before_planning(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_MODE", "WANDB_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(folder))
    monkeypatch.setenv("NETRC", str(folder / "netrc"))
    with pytest.raises(UserError, match="nobody is logged in; run `wandb login`, or set WANDB_MODE=offline"):
        job_of(folder, 'report=["wandb"]')
    (folder / "netrc").write_text("machine api.wandb.ai\n  login user\n  password secret\n", encoding="utf-8")
    job_of(folder, 'report=["wandb"]')
    (folder / "netrc").unlink()
    monkeypatch.setenv("WANDB_MODE", "offline")
    job_of(folder, 'report=["wandb"]')


def test_a_resumed_run_keeps_its_id_there_and_another_run_has_another(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("WANDB_MODE", "offline")
    found = []
    for name in ("x", "x", "y"):
        for variable in ("WANDB_RUN_ID", "WANDB_RESUME", "WANDB_DIR"):
            monkeypatch.delenv(variable, raising=False)
        trackers.prepare(job_of(folder, 'report=["wandb"]', name=name))
        assert os.environ["WANDB_RESUME"] == "allow" and os.environ["WANDB_DIR"].endswith(f"mine@{name}")
        found.append(os.environ["WANDB_RUN_ID"])
    assert found[0] == found[1] != found[2]
    for variable in ("WANDB_RUN_ID", "WANDB_RESUME", "WANDB_DIR"):
        monkeypatch.delenv(variable)


def test_who_tracks_nothing_has_no_such_settings(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WANDB_RUN_ID", raising=False)
    trackers.prepare(job_of(folder))
    assert "WANDB_RUN_ID" not in os.environ
