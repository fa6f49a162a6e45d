"""Keys of recipes that change what is learnt: each against a plain loop, or what its paper says."""

from __future__ import annotations

import io
import sys
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from rich.console import Console
from tuning import job_of, place, points, train

from benchmarks.training_oracle import ROWS as ROW_COUNT
from benchmarks.training_oracle import Point, checkpoints, ours, plain_loop, texts
from dsum_bench.errors import ModelError, UserError
from dsum_bench.progress.training import plan_table
from dsum_bench.training import worker
from dsum_bench.training.bins import fitted

ROWS = [(f"#Person1#: 네 {i}.", f"{i}번입니다.") for i in range(12)]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return place(tmp_path, ROWS)


def assert_same(found: list[Point], expected: list[Point]) -> None:
    for a, b in zip(found, expected, strict=True):
        assert a.loss == pytest.approx(b.loss, rel=2e-5) and a.grad_norm == pytest.approx(b.grad_norm, rel=1e-4)
        assert a.eval_loss == pytest.approx(b.eval_loss, rel=2e-5)


def tensors(file: Path) -> dict[str, Any]:
    from safetensors.torch import load_file

    return dict(load_file(file))


@pytest.mark.parametrize("family", ["llama", "bart"])
def test_label_smoothing_is_that_of_a_plain_loop_and_leaves_the_evaluation_alone(family: str, tmp_path: Path) -> None:
    checkpoints(tmp_path, [family])
    expected, _ = plain_loop(tmp_path / family, family, "full", smoothing=0.1)
    found, _ = ours(tmp_path / family, tmp_path / "work", family, "full", 4, label_smoothing=0.1)
    assert_same(found, expected)
    without, _ = plain_loop(tmp_path / family, family, "full")
    assert found[-1].loss != pytest.approx(without[-1].loss, rel=1e-2)


def test_bins_of_packed_rows_learn_what_the_rows_teach_alone(tmp_path: Path) -> None:
    checkpoints(tmp_path, ["llama"])
    count = len(fitted([len(t.input_ids) for t in texts("llama", ROW_COUNT, 1)], 64))
    assert 2 <= count < ROW_COUNT
    expected, _ = plain_loop(tmp_path / "llama", "llama", "full")
    packed = {"packing": True, "pack_tokens": 64, "max_tokens": 48}
    found, _ = ours(tmp_path / "llama", tmp_path / "work", "llama", "full", count, **packed)
    assert_same(found, expected)


def test_packing_is_refused_where_it_cannot_be(folder: Path) -> None:
    with pytest.raises(UserError, match="the encoder of bart would read them as one; leave packing off"):
        job_of(folder, "packing=true", model="bart")
    with pytest.raises(UserError, match="pack_tokens is for packing: set packing = true"):
        job_of(folder, "pack_tokens=512")
    with pytest.raises(UserError, match="pack_tokens must be at least max_tokens"):
        job_of(folder, "packing=true", "pack_tokens=64")


def test_the_plan_of_bins_counts_them(folder: Path) -> None:
    told: list[Any] = []
    job = job_of(folder, "packing=true", "pack_tokens=300", "epochs=1", plan_only=True)
    worker.run(job, told.append)
    (figures,) = [event.figures for event in told if hasattr(event, "figures")]
    assert figures.rows == len(ROWS) and figures.tokens / 300 <= figures.steps < len(ROWS) / 2
    shown = Console(width=100, record=True, file=io.StringIO())
    shown.print(plan_table(job, figures))
    assert f"{figures.steps} of at most 300 tokens" in shown.export_text()


@pytest.mark.parametrize("init", ["pissa", "olora"])
@pytest.mark.parametrize(("family", "recipe"), [("llama", "lora"), ("bart", "lora"), ("llama", "rslora")])
def test_an_adapter_that_begins_with_a_part_of_its_base_is_saved_as_one_for_the_whole_base(
    init: str, family: str, recipe: str, tmp_path: Path
) -> None:
    import torch
    import transformers
    from peft import PeftModel

    checkpoints(tmp_path, [family])
    expected, trained = plain_loop(
        tmp_path / family, family, recipe, init_lora_weights=init, use_rslora=recipe == "rslora"
    )
    found, weights = ours(tmp_path / family, tmp_path / "work", family, recipe, 1, init=init)
    assert_same(found, expected)
    for name, weight in trained.items():
        assert float((weights[name] - weight).abs().max()) < 2e-3, name
    # Plain peft, on the base as it was, adds what training has changed.
    auto = transformers.AutoModelForSeq2SeqLM if family == "bart" else transformers.AutoModelForCausalLM
    base = auto.from_pretrained(tmp_path / family, dtype=torch.float32)
    before = {name: p.detach().clone() for name, p in base.named_parameters()}
    merged = dict(PeftModel.from_pretrained(base, tmp_path / "work/result").merge_and_unload().named_parameters())
    scale = 8 / (2 if recipe == "rslora" else 4)
    start, _ = begun(tmp_path / family, family, recipe, init)
    checked = 0
    for name in (n for n in trained if ".lora_A." in n):
        other = name.replace(".lora_A.", ".lora_B.")
        change = scale * (trained[other] @ trained[name] - start[other] @ start[name])
        plain = name.removeprefix("base_model.model.").partition(".lora_A.")[0] + ".weight"
        assert float((merged[plain] - before[plain] - change).abs().max()) < 2e-3, plain
        assert float(change.abs().max()) > 1e-2, "nothing was learnt"
        checked += 1
    assert checked > 10


def begun(folder: Path, family: str, recipe: str, init: str) -> tuple[dict[str, Any], Any]:
    """The adapter's weights as peft makes them, before any update."""
    import torch
    import transformers
    from peft import LoraConfig, get_peft_model

    auto = transformers.AutoModelForSeq2SeqLM if family == "bart" else transformers.AutoModelForCausalLM
    network = auto.from_pretrained(folder, dtype=torch.float32)
    config = LoraConfig(r=4, lora_alpha=8, target_modules="all-linear", init_lora_weights=init,
                        use_rslora=recipe == "rslora")  # fmt: skip
    made = get_peft_model(network, config)
    return {name: p.detach() for name, p in made.named_parameters() if p.requires_grad}, made


def test_adapters_sit_on_the_layers_that_are_named(folder: Path) -> None:
    train(folder, "epochs=1", 'target_modules=["q_proj","v_proj"]', 'modules_to_save=["embed_tokens"]')
    names = set(tensors(folder / "results/models/mine@x/adapter_model.safetensors"))
    prefix = "base_model.model.model."
    lora = {f"{prefix}layers.{i}.self_attn.{m}.lora_{ab}.weight" for i in (0, 1) for m in ("q_proj", "v_proj")
            for ab in "AB"}  # fmt: skip
    assert names == lora | {f"{prefix}embed_tokens.weight"}
    base = tensors(folder / "mine/model.safetensors")["model.embed_tokens.weight"]
    trained = tensors(folder / "results/models/mine@x/adapter_model.safetensors")[f"{prefix}embed_tokens.weight"]
    assert trained.shape == base.shape and float((trained - base).abs().max()) > 1e-3


@pytest.mark.parametrize(
    ("setting", "told"),
    [
        ('target_modules=["q_pro"]', "target_modules: it has no layer 'q_pro'; did you mean 'q_proj'"),
        ('target_modules=["q_proj","query"]', "target_modules: it has no layer 'query'"),
        ('modules_to_save=["lm_hed"]', "modules_to_save: it has no layer 'lm_hed'; did you mean 'lm_head'"),
    ],
)
def test_layers_that_are_not_there_are_told_before_weights_are_loaded(setting: str, told: str, folder: Path) -> None:
    with pytest.raises(ModelError, match=told):
        train(folder, setting, plan_only=True)


@pytest.mark.parametrize(
    ("setting", "recipe", "told"),
    [
        ("init=pissa", "qlora", "use recipe lora"),
        ("init=olora", "dora", "use recipe lora"),
        ("label_smoothing=1.0", "lora", "label_smoothing must be from 0 to less than 1"),
        ("neftune=-1.0", "lora", "neftune must not be negative"),
        ("attention=flash_attention_2", "lora", "the package flash-attn is missing"),
        ("liger=true", "lora", "the package liger-kernel is missing; pip install"),
    ],
)
def test_what_cannot_be_is_told_before_planning(setting: str, recipe: str, told: str, folder: Path) -> None:
    with pytest.raises(UserError, match=told):
        job_of(folder, setting, recipe=recipe)


def test_liger_kernels_are_refused_on_a_cpu(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "liger_kernel", ModuleType("liger_kernel"))
    monkeypatch.setattr(sys.modules["liger_kernel"], "__spec__", ModuleSpec("liger_kernel", None))
    with pytest.raises(UserError, match="liger = true needs a GPU, and mine is trained on cpu"):
        job_of(folder, "liger=true")


def test_4_bit_layers_cannot_be_trained_whole(folder: Path) -> None:
    with pytest.raises(ModelError, match="'q_proj' is held in 4 bits"):
        train(folder, 'modules_to_save=["q_proj"]', 'target_modules=["v_proj"]', recipe="qlora")


@pytest.mark.parametrize("family", ["llama", "bart", "t5"])
def test_neftune_adds_its_noise_to_what_is_read_while_training_only(family: str, tmp_path: Path) -> None:
    import torch
    import transformers

    from dsum_bench.training.loop import add_noise

    checkpoints(tmp_path, [family])
    auto = transformers.AutoModelForCausalLM if family == "llama" else transformers.AutoModelForSeq2SeqLM
    network = auto.from_pretrained(tmp_path / family, dtype=torch.float32)
    add_noise(network, 5.0)
    seen: list[Any] = []
    reads = network if family == "llama" else network.get_encoder()
    reads.get_input_embeddings().register_forward_hook(lambda module, given, made: seen.append(made.detach()))
    ids = torch.tensor([[5, 6, 7, 8, 9]])
    for training in (False, True, True):
        network.train(training)
        network(input_ids=ids, **({} if family == "llama" else {"decoder_input_ids": ids}))
    plain, *noisy = seen
    bound = 5.0 / (5 * 64) ** 0.5  # alpha / sqrt(length x width), from the paper
    for made in noisy:
        noise = made - plain
        assert 0.8 * bound < float(noise.abs().max()) <= bound * 1.0001
        assert abs(float(noise.mean())) < 0.2 * bound
    assert not torch.equal(noisy[0], noisy[1])


@pytest.mark.parametrize("family", ["llama", "bart"])
def test_a_training_with_neftune_differs_and_its_first_evaluation_does_not(family: str, tmp_path: Path) -> None:
    checkpoints(tmp_path, [family])
    still, noisy = (ours(tmp_path / family, tmp_path / f"w{alpha}", family, "full", 1, neftune=alpha)[0]
                    for alpha in (0.0, 15.0))  # fmt: skip
    assert noisy[0].grad_norm != pytest.approx(still[0].grad_norm, rel=1e-2)
    assert noisy[0].eval_loss == pytest.approx(still[0].eval_loss, rel=1e-5)  # its first update has a rate of 0


def test_attention_is_computed_as_asked_with_the_same_curve(folder: Path) -> None:
    losses = [[v for _, v in points(train(folder, "epochs=1", f"attention={how}", "dropout=0.0", name=how))]
              for how in ("eager", "sdpa")]  # fmt: skip
    assert losses[0] == pytest.approx(losses[1], rel=1e-3) and losses[0] != losses[1]
