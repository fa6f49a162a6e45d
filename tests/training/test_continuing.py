"""Training that goes on with what was trained before, and runs made again from the file beside a result."""

from __future__ import annotations

import tomllib
from pathlib import Path
from typing import Any

import pytest
from commands import Dsum
from tuning import job_of, place, points, train, trained_entry

from dsum_bench import Bench
from dsum_bench.errors import UserError
from dsum_bench.provenance import read

ROWS = [(f"#Person1#: 네 {i}.", f"{i}번입니다.") for i in range(12)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return place(tmp_path, ROWS)


def tensors(folder: Path, run: str) -> dict[str, Any]:
    from safetensors.torch import load_file

    (file,) = (folder / "results/models" / run).glob("*model.safetensors")
    return dict(load_file(file))


def assert_equal(a: dict[str, Any], b: dict[str, Any]) -> None:
    import torch

    assert a.keys() == b.keys() and a
    for name in a:
        assert torch.equal(a[name], b[name]), name


@pytest.mark.parametrize("recipe", ["lora", "qlora", "dora", "rslora"])
def test_an_adapter_is_trained_further_as_a_new_run_on_its_base(recipe: str, folder: Path) -> None:
    still = ("dropout=0.0", "optimizer=adamw_torch")
    train(folder, "epochs=4", "r=4", "alpha=8.0", *still, recipe=recipe, limit=6)
    before = tensors(folder, "mine@x")
    told = train(folder, "epochs=2", *still, model="mine@x", name="y", dev_limit=4, dev_split="train")
    after = tensors(folder, "mine@y")
    assert after.keys() == before.keys() and all(after[k].shape == before[k].shape for k in after)  # r stays 4
    assert_equal(tensors(folder, "mine@x"), before)
    # It begins where the first run ended, far below what the base alone would give.
    alone = train(folder, "epochs=2", "r=4", "alpha=8.0", *still, recipe=recipe, name="z")
    assert points(told)[0][1] < 0.8 * points(alone)[0][1]
    made = read(folder / "results/models/mine@y")
    assert made is not None and made.base == "mine" and made.recipe["continues"] == "mine@x"
    entry = trained_entry(folder, "mine@y")
    assert entry.base == "mine" and entry.peft == str((folder / "results/models/mine@y").resolve())


def test_an_update_of_rate_0_leaves_a_continued_adapter_as_it_was(folder: Path) -> None:
    """The first update of a warm-up has a rate of 0: what it writes is what was loaded, whole and unchanged."""
    train(folder, "epochs=1", "r=4", 'modules_to_save=["embed_tokens"]')
    train(folder, "warmup=0.9", "schedule=linear", model="mine@x", name="y", max_steps=1)
    assert_equal(tensors(folder, "mine@y"), tensors(folder, "mine@x"))


def test_dialogues_that_were_learnt_before_count_as_learnt(folder: Path) -> None:
    train(folder, "epochs=1", limit=6)
    train(folder, "epochs=1", model="mine@x", name="y", split="dev")  # the first four again
    made, again = read(folder / "results/models/mine@x"), read(folder / "results/models/mine@y")
    assert made is not None and again is not None and again.dialogues == made.dialogues and len(made.dialogues) == 6


def test_a_whole_model_is_trained_further_and_found(folder: Path) -> None:
    train(folder, "epochs=1", "lr=0.003", recipe="full", limit=6)
    train(folder, "epochs=1", "lr=0.003", model="mine@x", name="y", recipe="full")
    entry = trained_entry(folder, "mine@x@y")
    assert entry.base == "mine@x"
    made = read(folder / "results/models/mine@x@y")
    assert made is not None and len(made.dialogues) == 12


@pytest.mark.parametrize(
    ("settings", "more", "told"),
    [
        (("r=8",), {}, "was made with its own r"),
        ((), {"recipe": "qlora"}, "quantization none, and recipe 'qlora' holds it with nf4"),
        ((), {"recipe": "dora"}, "do not agree on DoRA"),
        ((), {"recipe": "full"}, "trains all weights; merge it first"),
        ((), {"name": "x"}, "choose another name"),
    ],
)
def test_an_adapter_that_cannot_be_trained_so_is_told(
    settings: tuple[str, ...], more: dict[str, Any], told: str, folder: Path
) -> None:
    train(folder, "epochs=0.5")
    with pytest.raises(UserError, match=told):
        job_of(folder, *settings, model="mine@x", **{"name": "y", **more})


# -- the file beside a result -------------------------------------------------------------------------------------


def test_the_file_beside_a_result_makes_it_again(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    asked: dict[str, Any] = {
        "settings": {"max_tokens": 96, "batch": 2, "accumulate": 1, "lr": 0.01, "epochs": 2, "r": 4, "neftune": 5.0,
                     "target_modules": ["q_proj", "v_proj"], "choose_by": "loss"},
        "sample": 8, "seed": 7, "dev_limit": 3, "screen": False, "prompt": "Said: {dialogue}\nIn \"short\":",
    }  # fmt: skip
    Bench(results="first", progress=None).finetune("mine", "rows", **asked)
    (result,) = (folder / "first/models").iterdir()
    again = Bench(results="second", progress=None)
    options = again.config(result / "finetune.toml")
    assert options["model"] == "mine" and options["prompt"] == asked["prompt"] and options["sample"] == 8
    assert again.finetune(**options, screen=False).models == (result.name,)
    from safetensors.torch import load_file

    name = "adapter_model.safetensors"
    assert_equal(dict(load_file(result / name)), dict(load_file(folder / "second/models" / result.name / name)))


def test_the_command_takes_its_options_from_a_file_and_what_is_typed_wins(folder: Path) -> None:
    train(folder, "epochs=1", "r=4", max_steps=3)
    file = folder / "results/models/mine@x/finetune.toml"
    assert tomllib.loads(file.read_text("utf-8"))["settings"]["r"] == 4
    dsum = Dsum(folder)
    done = dsum("finetune", "--config", str(file), "--name", "y", "--seed", "7", "--no-screen")
    assert done.returncode == 0, done.stdout + done.stderr
    made = read(folder / "results/models/mine@y")
    assert made is not None and made.recipe["seed"] == 7 and made.recipe["params"]["r"] == 4
    assert made.recipe["max_steps"] == 3


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ('modl = "mine"', "unknown key 'modl'; did you mean 'model'"),
        ("model = ", "cannot be read"),
        ('model = "mine"\n[settings]\nlr = "high"', "'lr'"),
        ('model = "mine"\nseed = "x"', "seed"),
    ],
)
def test_a_file_of_options_that_is_wrong_is_told(text: str, told: str, folder: Path) -> None:
    (folder / "f.toml").write_text(text, encoding="utf-8")
    done = Dsum(folder)("finetune", "--config", "f.toml", "--dataset", "rows")
    assert done.returncode == 2 and told in done.stderr, done.stderr
