"""What a training keeps: checkpoints that are known to be whole, the best weights, and a result that stays."""

from __future__ import annotations

import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from tuning import job_of, place, points, train

from benchmarks import training_faults
from dsum_bench.errors import ModelError
from dsum_bench.training import checkpoints, worker
from dsum_bench.training.job import TrainingResumed

ROWS = [(f"#Person1#: 네 {i}.", f"{i}번입니다.") for i in range(12)]
FEW = ("epochs=2", "save_steps=3")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return place(tmp_path, ROWS)


def weights(folder: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return dict(load_file(folder / "results/models/mine@x/adapter_model.safetensors"))


def assert_equal(a: dict[str, Any], b: dict[str, Any]) -> None:
    import torch

    assert a.keys() == b.keys() and a
    for name in a:
        assert torch.equal(a[name], b[name]), name


def said(told: list[Any]) -> str:
    return "\n".join(getattr(event, "text", "") for event in told)


def resumed_at(told: list[Any]) -> int:
    return next(event.step for event in told if isinstance(event, TrainingResumed))


# -- checkpoints that were damaged --------------------------------------------------------------------------------


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])


def empty(file: Path) -> None:
    file.write_bytes(b"")


def flip(file: Path) -> None:
    found = bytearray(file.read_bytes())
    found[len(found) // 2] ^= 1
    file.write_bytes(bytes(found))


DAMAGES: dict[str, Callable[[Path], None]] = {"cut": cut, "emptied": empty, "deleted": Path.unlink, "flipped": flip}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_checkpoint_is_told_and_the_one_before_it_taken(damage: str, folder: Path) -> None:
    train(folder, *FEW)
    unbroken = weights(folder)
    work = folder / "results/training/mine@x/checkpoints"
    assert [f.name for f in checkpoints.all_of(work)] == ["checkpoint-12", "checkpoint-9"]
    kept = shutil.copytree(work, folder / "kept")
    for name in ("adapter_model.safetensors", "optimizer.pt", "scheduler.pt", "rng_state.pth", "trainer_state.json",
                 checkpoints.MANIFEST):  # fmt: skip
        shutil.rmtree(work)
        shutil.copytree(kept, work)
        shutil.rmtree(folder / "results/models")
        DAMAGES[damage](work / "checkpoint-12" / name)
        told = train(folder, *FEW)
        assert resumed_at(told) == 9, name
        if (name, damage) != (checkpoints.MANIFEST, "deleted"):  # that one looks broken off, as by a crash
            assert "checkpoint-12 is damaged" in said(told) and "going on from checkpoint-9" in said(told), name
        assert_equal(weights(folder), unbroken)


def test_training_starts_over_where_no_checkpoint_is_whole(folder: Path) -> None:
    train(folder, *FEW)
    unbroken = weights(folder)
    for checkpoint in checkpoints.all_of(folder / "results/training/mine@x/checkpoints"):
        (checkpoint / "optimizer.pt").unlink()
    shutil.rmtree(folder / "results/models")
    told = train(folder, *FEW)
    assert resumed_at(told) == 0 and "optimizer.pt is missing" in said(told) and "starts over" in said(told)
    assert_equal(weights(folder), unbroken)


def test_a_seal_is_on_the_disk_before_it_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoint = tmp_path / "checkpoint-3"
    checkpoint.mkdir()
    (checkpoint / "a.bin").write_bytes(b"abc")
    done: list[str] = []
    rename, fsync = Path.rename, os.fsync

    def told_fsync(handle: int) -> None:
        done.append(str(Path(f"/proc/self/fd/{handle}").readlink()))
        fsync(handle)

    def told_rename(self: Path, to: Path) -> Path:
        done.append(f"rename {Path(to).name}")
        return rename(self, to)

    monkeypatch.setattr(os, "fsync", told_fsync)
    monkeypatch.setattr(Path, "rename", told_rename)
    checkpoints.seal(checkpoint)
    names = [name.removeprefix(str(tmp_path)) for name in done]
    assert names == ["/checkpoint-3/a.bin", "/checkpoint-3/.complete.json", "rename complete.json", "/checkpoint-3", ""]
    assert checkpoints.fault(checkpoint) == ""


# -- the best weights ---------------------------------------------------------------------------------------------


def scores(monkeypatch: pytest.MonkeyPatch, values: list[float]) -> None:
    """Have the network's summaries score these values, one an evaluation, whatever they are."""
    left = list(values)
    monkeypatch.setattr("dsum_bench.training.scoring.scorer", lambda *_: lambda: left.pop(0) if left else 0.0)


def test_the_weights_of_the_best_score_are_kept_though_another_epoch_has_the_least_loss(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Trained on, the loss of the training rows themselves falls from epoch to epoch; the scores say the second is best.
    choose = {"dev_limit": 12, "dev_split": "train"}
    scores(monkeypatch, [10.0, 30.0, 20.0, 25.0])
    told = train(folder, "epochs=4", "save_steps=5", **choose)
    losses = points(told, "eval_loss")
    assert [step for step, _ in losses] == [6, 12, 18, 24] and min(losses, key=lambda p: p[1])[0] == 24
    assert points(told, "eval_rouge") == [(6, 10.0), (12, 30.0), (18, 20.0), (24, 25.0)]
    by_score = weights(folder)
    shutil.rmtree(folder / "results")
    train(folder, "epochs=4", "choose_by=loss", **choose)
    by_loss = weights(folder)
    shutil.rmtree(folder / "results")
    train(folder, "epochs=4", "choose_by=last", **choose)
    assert_equal(weights(folder), by_loss)
    shutil.rmtree(folder / "results")
    # The oracle: the same four epochs' schedule, broken off after the second.
    train(folder, "epochs=4", "choose_by=last", max_steps=12, **choose)
    assert_equal(weights(folder), by_score)


def test_a_run_that_gets_no_better_stops_and_stays_so(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    more = {"dev_limit": 4, "max_steps": None}
    scores(monkeypatch, [10.0, 30.0, 20.0, 25.0])
    told = train(folder, "epochs=9", "save_steps=6", "patience=2", **more)
    assert [step for step, _ in points(told, "eval_rouge")] == [6, 12, 18, 24]
    kept = weights(folder)
    shutil.rmtree(folder / "results/models")  # as if the process had died before it wrote the result
    told = train(folder, "epochs=9", "save_steps=6", "patience=2", **more)
    assert not points(told) and resumed_at(told) == 24
    assert_equal(weights(folder), kept)


def test_a_resumed_run_keeps_the_best_as_of_its_checkpoint(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    values = [10.0, 30.0, 20.0, 25.0]
    scores(monkeypatch, values)
    train(folder, "epochs=4", "save_steps=4", dev_limit=4)
    kept = weights(folder)
    shutil.rmtree(folder / "results/models")
    shutil.rmtree(folder / "results/training/mine@x/checkpoints/checkpoint-24")
    scores(monkeypatch, values[3:])
    told = train(folder, "epochs=4", "save_steps=4", dev_limit=4)
    assert resumed_at(told) == 20
    assert_equal(weights(folder), kept)


# -- what ends badly ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("lr", ["1e30", "50.0"])
def test_a_training_that_diverges_has_no_result(lr: str, folder: Path) -> None:
    with pytest.raises(ModelError, match=r"diverged|loss is|gradient is"):
        train(folder, "epochs=1", f"lr={lr}", "max_grad_norm=1e9")
    assert not (folder / "results/models/mine@x").exists()


def test_max_steps_never_goes_beyond_the_epochs(folder: Path) -> None:
    told = train(folder, "epochs=1", max_steps=50)
    assert [step for step, _ in points(told)] == list(range(1, 7))
    assert next(e.figures.steps for e in told if hasattr(e, "figures")) == 6


def test_memory_that_does_not_suffice_on_the_cpu_is_told(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from dsum_bench.training import stepping

    def starved(*_: Any, **__: Any) -> None:
        raise RuntimeError("[enforce fail at alloc_cpu.cpp:127] DefaultCPUAllocator: can't allocate memory: 9 bytes")

    monkeypatch.setattr(stepping.loss, "summed", starved)
    with pytest.raises(ModelError, match="out of memory; use a smaller batch"):
        train(folder, "epochs=1")


# -- the plan -----------------------------------------------------------------------------------------------------


def plan_of(folder: Path, free: int, monkeypatch: pytest.MonkeyPatch, *settings: str) -> Any:
    from dataclasses import replace

    found = worker.detect()
    monkeypatch.setattr(worker, "detect", lambda: replace(found, free_bytes=free))
    told: list[Any] = []
    worker.run(job_of(folder, *settings, plan_only=True), told.append)
    return next(event.figures for event in told if hasattr(event, "figures"))


def test_the_plan_takes_the_fastest_way_that_fits(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    much = plan_of(folder, 10**10, monkeypatch)
    assert not much.checkpointing and much.keeps_freed
    less = plan_of(folder, int(much.peak * 1.2), monkeypatch)
    assert less.checkpointing and not less.keeps_freed and less.peak < much.peak
    asked = plan_of(folder, 10**10, monkeypatch, "gradient_checkpointing=true")
    assert asked.checkpointing and asked.keeps_freed
    with pytest.raises(ModelError, match="are free; try"):
        plan_of(folder, 10**8, monkeypatch)


# -- a campaign of faults -----------------------------------------------------------------------------------------


@pytest.mark.slow
def test_whatever_happens_to_checkpoints_the_weights_are_those_of_an_unbroken_run(folder: Path) -> None:
    train(folder, *FEW)
    unbroken = weights(folder)
    work = folder / "results/training/mine@x/checkpoints"
    kept = shutil.copytree(work, folder / "kept")
    draw = random.Random(5)
    for _ in range(12):
        shutil.rmtree(work)
        shutil.copytree(kept, work)
        shutil.rmtree(folder / "results/models")
        files = sorted(f for f in work.rglob("*") if f.is_file())
        for file in draw.sample(files, 2):
            DAMAGES[draw.choice(list(DAMAGES))](file)
        told = train(folder, *FEW)
        assert_equal(weights(folder), unbroken)
        assert json.loads((work / "checkpoint-12" / checkpoints.MANIFEST).read_text("utf-8"))
        assert resumed_at(told) in (0, 9, 12)


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["encoder-decoder"])  # decoders too: python -m benchmarks.training_faults
def test_whenever_a_training_is_killed_it_ends_with_the_weights_of_an_unbroken_one(
    kind: training_faults.Kind, tmp_path: Path
) -> None:
    training_faults.prepare(tmp_path)
    seen = training_faults.campaign(tmp_path, kind, 3, random.Random(3), lambda text: None)
    assert seen.kills == 3 and seen.ended == seen.equal >= 1
