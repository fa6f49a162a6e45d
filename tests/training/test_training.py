"""`dsum-bench finetune` as a user calls it, on small models of the real architectures."""

from __future__ import annotations

import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import forked
import pytest
import tiny
from commands import patience, wait_until
from making import small

import dsum_bench.training

Run = Callable[..., subprocess.CompletedProcess[str]]
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}<|im_start|>assistant\n"
)
REGISTRY = """
[models.mine]
source = "./mine"
adapter = "chat"
prompt = "short"
recipe = "lora"
[models.other]
source = "./other"
adapter = "chat"
[models.bart]
source = "./bart"
adapter = "encoder_decoder"
recipe = "full"
options = { wrap = true }
[prompts.short]
user = "{dialogue}"
[decodings.greedy]
strategy = "greedy"
max_new_tokens = 8
[datasets.rows]
format = "jsonl"
path = "{split}.jsonl"
"""
QUICK = ("--set", "max_tokens=96", "--set", "batch=2", "--set", "accumulate=1", "--set", "lr=0.01")
WITHOUT_EVALUATION = ("--dev-limit", "0")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny.decoder(tmp_path / "mine", "llama", small(CHATML, bos=None))
    (tmp_path / "registry.toml").write_text(REGISTRY, encoding="utf-8")
    rows = [{"id": str(i), "dialogue": f"#Person1#: 네 {i}.", "summary": f"{i}번입니다."} for i in range(24)]
    for name, found in (("train", rows), ("dev", rows[:4]), ("empty", [])):
        text = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in found)
        (tmp_path / f"{name}.jsonl").write_text(text, encoding="utf-8")
    without = [*rows[:2], {"id": "x", "dialogue": "#Person1#: 네."}]
    (tmp_path / "without.jsonl").write_text("\n".join(json.dumps(r) for r in without), encoding="utf-8")
    return tmp_path


def finetune(*more: str) -> list[str]:
    evaluation = () if "--dev-limit" in more else WITHOUT_EVALUATION
    return ["finetune", "mine", "--dataset", "rows", *QUICK, *evaluation, *more]


def arguments(*more: str) -> list[str]:
    return [sys.executable, "-m", "dsum_bench", *finetune(*more)]


def environment() -> dict[str, str]:
    return os.environ | {"COLUMNS": "120", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}


def call(folder: Path, command: list[str]) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        command, cwd=folder, env=environment(), capture_output=True, text=True, timeout=patience(), check=False
    )


def dsum(folder: Path, *given: str) -> subprocess.CompletedProcess[str]:
    return forked.run("dsum_bench", given, folder, environment(), patience())


@pytest.fixture
def tune(folder: Path) -> Run:
    return lambda *more: dsum(folder, *finetune(*more))


def curve(folder: Path, run: str, measure: str = "loss") -> list[tuple[int, float]]:
    sql = "select step, value from training_log where training_id = ? and measure = ? order by step"
    with sqlite3.connect(folder / "results" / "dsum.db") as db:
        return list(db.execute(sql, [run, measure]))


def one(folder: Path, sql: str) -> Any:
    with sqlite3.connect(folder / "results" / "dsum.db") as db:
        return db.execute(sql).fetchone()


# -- from one command to a ranked result --------------------------------------------------------------------------


def test_training_lowers_the_loss_and_the_result_is_ranked_with_its_base(tune: Run, folder: Path) -> None:
    done = tune("--name", "a", "--set", "epochs=4")
    assert done.returncode == 0, done.stdout + done.stderr
    losses = [value for _, value in curve(folder, "mine@a")]
    assert len(losses) == 48 and sum(losses[-6:]) < 0.7 * sum(losses[:6])
    assert one(folder, "select status, trainer, split from trainings") == ("done", "lora", "train")
    treatments = "select group_concat(model || ' ' || treatment, ', ') from (select * from runs order by model)"
    assert "mine zero-shot, mine@a lora" in one(folder, treatments)[0]
    assert "mine@a" in done.stdout and "95 % interval" in done.stdout and "p = " in done.stdout
    record = json.loads((folder / "results/models/mine@a/dsum-bench.json").read_text("utf-8"))
    assert record["base"] == "mine" and len(record["dialogues"]) == 24
    again = dsum(folder, "screen", "--no-controls", "mine@a", "--dataset", "rows", "--limit", "2")
    assert again.returncode == 0, again.stderr


def test_a_killed_run_resumes_on_the_same_curve(tune: Run, folder: Path) -> None:
    often = ("--no-screen", "--set", "epochs=3", "--set", "save_steps=5")
    assert tune("--name", "whole", *often).returncode == 0
    process = subprocess.Popen(
        arguments("--name", "killed", *often), cwd=folder, env=environment(), stdout=subprocess.DEVNULL
    )
    # In the second epoch, whose order of rows must be found again.
    wanted, database = random.Random(7).randint(16, 24), folder / "results/dsum.db"
    wait_until(
        lambda: process.poll() is not None or (database.exists() and len(curve(folder, "mine@killed")) >= wanted),
        f"{wanted} steps",
    )
    process.kill()
    process.wait()
    began = curve(folder, "mine@killed")
    assert wanted <= len(began) < 36
    time.sleep(1)  # its worker ends with it
    # A checkpoint that was being written when the process died is passed over.
    broken = folder / "results/training/mine@killed/checkpoints/checkpoint-36"
    broken.mkdir()
    (broken / "trainer_state.json").write_text("{", encoding="utf-8")
    # A point that the worker had sent before it wrote a checkpoint, and that nobody lived to store, is not lost.
    with sqlite3.connect(folder / "results" / "dsum.db") as db:
        db.execute("delete from training_log where training_id = 'mine@killed' and step = 4")
    done = tune("--name", "killed", *often)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "resuming at step" in done.stdout
    whole, resumed = curve(folder, "mine@whole"), curve(folder, "mine@killed")
    assert [step for step, _ in resumed] == [step for step, _ in whole] == list(range(1, 37))
    assert [v for _, v in resumed] == pytest.approx([v for _, v in whole], abs=1e-4)


def test_a_plan_alone_writes_no_database(tune: Run, folder: Path) -> None:
    done = tune("--dry-run")
    assert done.returncode == 0, done.stderr
    # Rank 16 on the seven projections of two layers, 32 wide, 64 inside, two of four heads for keys and values.
    by_hand = 2 * 16 * (2 * (32 + 32) + 2 * (32 + 16) + 3 * (32 + 64))
    assert f"{by_hand:,} of" in done.stdout
    assert "36 of 2 rows" in done.stdout  # 24 rows, three epochs
    assert not (folder / "results/dsum.db").exists()


@pytest.mark.parametrize("recipe", ["dora", "qlora"])
def test_every_kind_of_adapter_is_trained_saved_and_screened(recipe: str, tune: Run, folder: Path) -> None:
    done = tune("--name", "b", "--recipe", recipe, "--max-steps", "12", "--screen-limit", "2", "--set", "lora_plus=4.0")
    assert done.returncode == 0, done.stdout + done.stderr
    losses = [value for _, value in curve(folder, "mine@b")]
    assert sum(losses[-3:]) < sum(losses[:3])
    assert one(folder, "select quantization from runs where model = 'mine@b'")[0] == (
        "nf4" if recipe == "qlora" else "none"
    )


def test_a_sweep_makes_a_run_of_every_point(tune: Run, folder: Path) -> None:
    done = tune("--sweep", "r=2,4 epochs=0.25", "--no-screen")
    assert done.returncode == 0, done.stderr
    assert one(folder, "select count(*), count(distinct id) from trainings where status = 'done'") == (2, 2)


def test_training_stops_when_evaluation_gets_no_better(tune: Run, folder: Path) -> None:
    done = tune(
        "--name", "c", "--no-screen", "--dev-limit", "4", "--set", "patience=1", "--set", "epochs=30", "--set", "lr=0.5"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    evaluated = curve(folder, "mine@c", "eval_loss")
    assert 2 <= len(evaluated) < 30
    assert evaluated[-1][1] >= min(value for _, value in evaluated)


def test_an_export_has_a_card_and_a_merge_writes_the_same(tune: Run, folder: Path) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    assert tune("--name", "x", "--max-steps", "6", "--screen-limit", "2").returncode == 0
    for out, more in (("adapter", []), ("merged", ["--merge"])):
        done = dsum(folder, "export", "mine@x", "-o", out, *more)
        assert done.returncode == 0, done.stdout + done.stderr
        text = (folder / out / "README.md").read_text("utf-8")
        assert "mine trained with dsum-bench by recipe `lora`" in text and "| rows dev" in text
    assert "merged: 0 of 8 outputs differ" in done.stderr
    ids = torch.arange(5, 45)[None]
    base = AutoModelForCausalLM.from_pretrained(folder / "mine")
    plain = base(ids).logits
    adapted = PeftModel.from_pretrained(base, folder / "adapter").eval()(ids).logits
    merged = AutoModelForCausalLM.from_pretrained(folder / "merged").eval()(ids).logits
    torch.testing.assert_close(merged, adapted, atol=1e-3, rtol=1e-3)
    assert not torch.allclose(plain, adapted, atol=1e-2)


LAUNCH = [sys.executable, "-m", "accelerate.commands.launch", "--num_processes", "2", "--num_machines", "1",
          "--mixed_precision", "no", "--dynamo_backend", "no", "--main_process_port", "0"]  # fmt: skip


SHARDED = [*LAUNCH[:3], "--config_file", str(Path(dsum_bench.training.__file__).with_name("fsdp.yaml")),
           "--main_process_port", "0"]  # fmt: skip
# accelerate shards on accelerators alone. This plugin makes it take two processes on a CPU for such.
PRETEND = """
import os

if "LOCAL_RANK" in os.environ:
    import torch.distributed
    from accelerate.state import PartialState
    from accelerate.utils import DistributedType

    def backend(self, cpu=False, sagemaker_dp=False, backend=None):
        if not torch.distributed.is_initialized():
            torch.distributed.init_process_group("gloo")
        return "gloo", DistributedType.MULTI_GPU

    PartialState._prepare_backend = backend
"""


@pytest.mark.slow
def test_two_processes_train_one_model_and_sharded_4_bit_weights_learn_the_same_and_resume(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = ("--no-screen", "--recipe", "qlora", "--set", "optimizer=adamw_torch", "--set", "dropout=0.0")
    often = (*few, "--set", "epochs=2", "--set", "save_steps=4")
    # accelerate's --cpu starts one process unless MPI does it; --multi_gpu starts two, with gloo where no GPU is.
    done = call(folder, [*LAUNCH, "--multi_gpu", *arguments("--name", "whole", *often)[1:]])
    assert done.returncode == 0, done.stdout + done.stderr
    assert "12 of 4 rows" in done.stdout  # 24 rows twice, two processes of two rows each
    assert done.stdout.count("trained; the model is called mine@whole") == 1  # one of them writes
    assert [step for step, _ in curve(folder, "mine@whole")] == list(range(1, 13))
    installed(folder / "site", "pretend", PRETEND)
    monkeypatch.setenv("PYTHONPATH", str(folder / "site"))
    monkeypatch.setenv("ACCELERATE_TORCH_DEVICE", "cpu")
    command = [*SHARDED, *arguments("--name", "sharded", *often)[1:]]
    done = call(folder, command)
    assert done.returncode == 0, done.stdout + done.stderr
    checkpoints = folder / "results/training/mine@sharded/checkpoints"
    # Each process has written its share.
    assert len(list((checkpoints / "checkpoint-8/pytorch_model_fsdp_0").glob("*.distcp"))) == 2
    first = weights(folder / "results/models/mine@sharded")
    assert_same(first, weights(folder / "results/models/mine@whole"))
    points = [v for _, v in curve(folder, "mine@sharded")]
    assert points == pytest.approx([v for _, v in curve(folder, "mine@whole")], abs=1e-4)
    # As if it had been broken off after its eighth step, in the second epoch.
    shutil.rmtree(folder / "results/models/mine@sharded")
    shutil.rmtree(checkpoints / "checkpoint-12")
    done = call(folder, command)
    assert done.returncode == 0 and "resuming at step 8" in done.stdout, done.stdout + done.stderr
    assert_same(weights(folder / "results/models/mine@sharded"), first)
    assert [v for _, v in curve(folder, "mine@sharded")] == pytest.approx(points, abs=1e-4)
    done = dsum(folder, "screen", "--no-controls", "mine@sharded", "--dataset", "rows", "--limit", "2")
    assert done.returncode == 0, done.stdout + done.stderr


def installed(site: Path, module: str, code: str) -> None:
    """A plugin package in a folder of PYTHONPATH."""
    info = site / f"{module}-1.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {module}\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text(f"[dsum_bench]\n{module} = {module}\n", encoding="utf-8")
    (site / f"{module}.py").write_text(code, encoding="utf-8")


def weights(result: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return dict(load_file(result / "adapter_model.safetensors"))


def assert_same(a: dict[str, Any], b: dict[str, Any]) -> None:
    import torch

    assert a.keys() == b.keys() and len(a) == 28  # A and B of seven projections in two layers
    for name in a:
        torch.testing.assert_close(a[name], b[name], atol=1e-4, rtol=1e-4)


# -- what one can get wrong ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (["--split", "empty"], "has no"),
        (["--split", "without"], "row 3"),
        (["--set", "learning_rate=1"], "unknown key 'learning_rate'"),
        (["--set", "r=0"], "r must be at least 1"),
        (["--recipe", "qlor"], "did you mean 'qlora'"),
        (["--sweep", "lr"], "must be KEY=VALUE,VALUE"),
        (["--name", "A B"], "use lower-case letters"),
    ],
)
def test_wrong_input_is_reported_in_a_sentence(more: list[str], told: str, tune: Run) -> None:
    done = tune(*more)
    assert done.returncode == 2 and told in done.stderr, done.stderr
    assert done.stderr.count("\n") == 1 and "Traceback" not in done.stderr


def test_a_model_from_the_hub_without_a_hub_is_refused(folder: Path) -> None:
    done = dsum(folder, "finetune", "llama32-3b")
    assert done.returncode == 2 and "llama32-3b cannot be trained here" in done.stderr
    assert "HF_HUB_OFFLINE" in done.stderr


@pytest.mark.parametrize(
    ("more", "version", "told"),
    [
        ((), "1", "fsdp_version: 2"),
        (("--recipe", "dora"), "2", "trainer 'dora' does not shard"),
        ((), "2", "--set optimizer=adamw_torch"),
        (("--set", "optimizer=adamw_torch", "--set", "choose_by=rouge@char"), "2", "--set choose_by=loss"),
    ],
)
def test_what_a_sharded_run_cannot_do(
    more: tuple[str, ...], version: str, told: str, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ACCELERATE_USE_FSDP", "true")
    monkeypatch.setenv("FSDP_VERSION", version)
    done = dsum(folder, *finetune("--dry-run", *more))
    assert done.returncode == 2 and told in done.stderr and done.stderr.count("\n") == 1, done.stderr


def test_a_result_that_was_not_screened_is_shown_and_exported(tune: Run, folder: Path) -> None:
    assert tune("--no-screen", "--max-steps", "3", "--name", "x").returncode == 0
    for name in ("mine@x", "x"):
        shown = dsum(folder, "show", name)
        assert shown.returncode == 0 and "lora (lora)" in shown.stdout and "at step 3" in shown.stdout, shown.stderr
    found = json.loads(dsum(folder, "show", "x", "--json").stdout)
    assert [step for step, _ in found["curve"]["loss"]] == [1, 2, 3] and found["status"] == "done"
    unknown = dsum(folder, "show", "y")
    assert unknown.returncode == 2 and "there are no results" in unknown.stderr
    done = dsum(folder, "export", "mine@x", "-o", "out")
    assert done.returncode == 0 and (folder / "out/adapter_config.json").is_file(), done.stderr
    (folder / "results/dsum.db").unlink()  # the weights are all that an export needs
    done = dsum(folder, "export", "mine@x", "-o", "again")
    assert done.returncode == 0 and (folder / "again/README.md").is_file(), done.stderr


def test_the_screening_afterwards_takes_a_decoding_of_its_own(tune: Run, folder: Path) -> None:
    few = ("--max-steps", "2", "--name", "x", "--screen-limit", "2")
    wrong = tune(*few, "--set-decoding", "beams=4")
    assert wrong.returncode == 2 and "beams" in wrong.stderr  # greedy decoding has none
    wrong = tune(*few, "--decoding", "gredy")
    assert wrong.returncode == 2 and "did you mean 'greedy'" in wrong.stderr
    assert not (folder / "results/models").exists()  # said before training
    done = tune(*few, "--decoding", "beam4", "--set-decoding", "max_new_tokens=5")
    assert done.returncode == 0, done.stdout + done.stderr
    with sqlite3.connect(folder / "results" / "dsum.db") as db:
        runs = db.execute("select model, decoding_name, spec from runs where kind = 'model'").fetchall()
    assert {(model, name) for model, name, _ in runs} == {("mine", "beam4"), ("mine@x", "beam4")}
    assert {json.loads(spec)["decoding"]["params"]["max_new_tokens"] for *_, spec in runs} == {5}


def test_a_run_is_not_resumed_with_other_settings(tune: Run) -> None:
    few = ("--no-screen", "--max-steps", "2", "--name", "d")
    assert tune(*few).returncode == 0
    done = tune(*few, "--set", "lr=0.02")
    assert done.returncode == 2 and "lr (0.01 then, 0.02 now)" in done.stderr and "--fresh" in done.stderr
    assert tune(*few, "--set", "lr=0.02", "--fresh").returncode == 0


def test_an_adapter_is_not_put_on_another_base(tune: Run, folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    assert tune("--no-screen", "--max-steps", "2", "--name", "e").returncode == 0
    network = AutoModelForCausalLM.from_pretrained(folder / "mine")
    with torch.no_grad():
        network.lm_head.weight.add_(1.0)
    network.save_pretrained(folder / "mine")
    done = dsum(folder, "screen", "--no-controls", "mine@e", "--dataset", "rows")
    assert done.returncode != 0 and "adapter for another base model" in done.stdout + done.stderr


def test_a_checkpoint_that_cannot_be_written_leaves_the_last_good_one(tune: Run, folder: Path) -> None:
    few = ("--no-screen", "--name", "f", "--set", "save_steps=4", "--set", "epochs=1", "--set", "r=256")
    limited = ["bash", "-c", 'ulimit -f 700; exec "$0" "$@"', *arguments(*few)]
    failed = call(folder, limited)
    assert failed.returncode == 1, failed.stdout + failed.stderr
    assert "could not be written" in failed.stdout + failed.stderr
    done = tune(*few)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [step for step, _ in curve(folder, "mine@f")] == list(range(1, 13))


def test_packed_batches_have_the_same_curve(tune: Run, folder: Path) -> None:
    still = ("--no-screen", "--set", "dropout=0.0", "--set", "epochs=1", "--set", "batch=3")
    assert tune("--name", "padded", *still).returncode == 0
    done = tune("--name", "packed", *still, "--set", "packing=true")
    assert done.returncode == 0, done.stdout + done.stderr
    padded, packed = curve(folder, "mine@padded"), curve(folder, "mine@packed")
    assert len(packed) == 8 and packed[0][1] > packed[-1][1]
    assert [v for _, v in packed] == pytest.approx([v for _, v in padded], abs=1e-4)


def test_the_curve_is_written_for_tensorboard_too(tune: Run, folder: Path) -> None:
    done = tune("--no-screen", "--name", "t", "--max-steps", "3", "--set", 'report=["tensorboard"]')
    assert done.returncode == 0, done.stdout + done.stderr
    (events,) = (folder / "results/training/mine@t").rglob("events.out.tfevents.*")
    written = events.read_bytes()
    assert written.count(b"train/loss") == 3 and b"train/learning_rate" in written


def test_rouge_is_taken_while_training(tune: Run, folder: Path) -> None:
    few = ("--no-screen", "--name", "r", "--dev-split", "dev", "--set", "epochs=2")
    done = tune(*few, "--dev-limit", "3", "--set", "eval_rouge=2")
    assert done.returncode == 0, done.stdout + done.stderr
    points = "select step, value from training_log where measure = ? order by step"
    with sqlite3.connect(folder / "results" / "dsum.db") as db:
        rouge, losses = (db.execute(points, [name]).fetchall() for name in ("eval_rouge", "eval_loss"))
    assert [step for step, _ in rouge] == [step for step, _ in losses] == [12, 24]
    assert all(0 <= value <= 100 for _, value in rouge) and rouge[-1][1] > 0
    assert f"evaluation score {rouge[-1][1]:.2f}" in done.stdout
    refused = tune("--name", "s", "--set", "choose_by=loss", "--no-screen")
    assert refused.returncode == 2 and "choose_by needs evaluation rows" in refused.stderr
