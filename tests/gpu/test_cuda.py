"""What is to be seen on a CUDA device alone. Without one these tests are skipped.

``DSUM_TESTS_GPU_ANYWHERE=1`` runs them on the CPU too, to see that they run. ``DSUM_BENCH_TOKENIZER`` names a folder
with Llama 3's tokenizer where npm is out of reach.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from assets import need, tokenizer_folder
from commands import Dsum
from loaded_engine import LoadedEngine

from dsum_bench.decoding.strategies import Beam, BeamParams, Greedy, GreedyParams
from dsum_bench.spec import Placement, PluginSettings, Prompt

ANYWHERE = os.environ.get("DSUM_TESTS_GPU_ANYWHERE") == "1"
NEW = 12
SIZES: dict[str, Any] = {
    "hidden_size": 256, "intermediate_size": 2048, "num_hidden_layers": 3, "num_attention_heads": 8,
    "num_key_value_heads": 4, "head_dim": 32, "max_position_embeddings": 2048, "initializer_range": 0.1,
    "tie_word_embeddings": False,
}  # fmt: skip
PAGED = 64
"""A rank with which the matrices of the widest layers have the 100,000 weights from which on bitsandbytes pages."""
REGISTRY = """
[models.mine]
source = "{folder}"
adapter = "llama3"
dtype = "bfloat16"
decoding = "greedy"
"""


def on_gpu() -> bool:
    import torch

    return torch.cuda.is_available()


@pytest.fixture(autouse=True)
def needs_one() -> None:
    if not on_gpu() and not ANYWHERE:
        pytest.skip("torch sees no CUDA device")


pytestmark = [pytest.mark.gpu, pytest.mark.fresh, pytest.mark.network]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small random Llama in bfloat16, with Llama 3's tokenizer."""
    if not on_gpu() and not ANYWHERE:
        pytest.skip("torch sees no CUDA device")
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    given = os.environ.get("DSUM_BENCH_TOKENIZER")
    words = AutoTokenizer.from_pretrained(Path(given) if given else need(tokenizer_folder, "llama3"))
    config = LlamaConfig(
        **SIZES, vocab_size=len(words), bos_token_id=words.bos_token_id, eos_token_id=words.eos_token_id
    )
    torch.manual_seed(0)
    made = tmp_path_factory.mktemp("llama")
    LlamaForCausalLM._from_config(config, dtype=torch.bfloat16).save_pretrained(made)
    words.save_pretrained(made)
    return made


def loaded(folder: Path, dtype: str, quantization: str = "none") -> LoadedEngine:
    place = Placement("cuda:0" if on_gpu() else "cpu", dtype, quantization, "")
    return LoadedEngine(folder, "llama3", {}, place)


GREEDY = Greedy(GreedyParams(max_new_tokens=NEW))


def unbatched(model: LoadedEngine, prompt: Prompt, **arguments: Any) -> list[int]:
    """The oracle: transformers' ``generate`` on one prompt."""
    import torch

    ids = torch.tensor([prompt.token_ids], device=model.engine.network.device)
    ends = list(model.engine._ends(model.adapter))
    made = model.engine.network.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=NEW, do_sample=False, eos_token_id=ends,
        pad_token_id=ends[0], **arguments,
    )  # fmt: skip
    return list(made[0, ids.shape[1] :].tolist())


def batched(model: LoadedEngine, prompts: Sequence[Prompt]) -> dict[str, list[int]]:
    """New tokens as the engine's own batches write them."""
    from dsum_bench.engines.generation import Writer
    from dsum_bench.engines.heartbeat import Heartbeat

    batch = sorted(prompts, key=lambda p: -len(p.token_ids))
    writer = Writer(model.engine.network, words(model), batch, True)
    made = writer.write(batch, GREEDY, GREEDY.config(), Heartbeat(print, len(batch)))
    return {p.sample_id: row for p, row in zip(batch, made, strict=True)}


def words(model: LoadedEngine) -> Any:
    from dsum_bench.engines.generation import OutputTokens

    ends = model.engine._ends(model.adapter)
    return OutputTokens(ends, model.engine._pad(ends), frozenset(), model.engine.tokenizer)


@pytest.mark.parametrize("beams", [1, 4])
def test_in_float32_texts_of_batches_are_those_of_generate(folder: Path, beams: int) -> None:
    model = loaded(folder, "float32")
    decoding = Beam(BeamParams(max_new_tokens=NEW, beams=4)) if beams == 4 else GREEDY
    found = {name: text for name, (text, *_) in model.texts(decoding).items()}
    ends = model.engine._ends(model.adapter)
    more: dict[str, Any] = {"num_beams": 4, "early_stopping": True} if beams == 4 else {}
    alone = {p.sample_id: unbatched(model, p, **more) for p in model.prompts}
    cut = {n: row[: next((i for i, t in enumerate(row) if t in ends), len(row))] for n, row in alone.items()}
    assert found == {name: model.adapter.decode(row) for name, row in cut.items()}
    assert len(set(found.values())) > 1


@pytest.mark.parametrize("quantization", ["none", "nf4"])
def test_in_16_bits_batches_differ_from_generate_by_ties_alone(folder: Path, quantization: str) -> None:
    from ties import wrong

    model = loaded(folder, "bfloat16", quantization)
    if quantization == "nf4" and on_gpu():
        kinds = {type(m).__name__ for m in model.engine.network.model.layers.modules()}
        assert "Linear4bit" in kinds and "Linear" not in kinds
    alone = {p.sample_id: unbatched(model, p) for p in model.prompts}
    assert not wrong(model.engine.network, model.prompts, batched(model, model.prompts), alone, words(model).ends)
    assert model.texts(GREEDY).keys() == alone.keys()


@pytest.mark.parametrize("quantization", ["none", "nf4", "int8"])
def test_reading_prompts_takes_no_more_memory_than_is_planned(folder: Path, quantization: str) -> None:
    import torch

    from dsum_bench.engines import footprint
    from dsum_bench.engines.generation import Writer

    model = loaded(folder, "bfloat16" if on_gpu() else "float32", quantization)
    network = model.engine.network
    prompts = [replace(p, sample_id=f"{p.sample_id}/{i}") for p in model.prompts for i in range(8)]
    writer = Writer(network, words(model), prompts, True)
    longest, config = max(len(p.token_ids) for p in prompts), network.config
    shared = len(writer.shared)
    width = 2 if on_gpu() else 4
    each = footprint.activation_bytes(config, width, longest, longest / (longest - shared), False, False)
    with torch.inference_mode():
        writer._read_group(prompts[:1], writer.shared)
        if not on_gpu():
            return  # tests/engines holds the bound against what a CPU allocates
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        kept = writer._read_group(prompts, writer.shared)
    peak = torch.cuda.max_memory_allocated() - before
    del kept
    held = len(prompts) * longest * (footprint.kv_bytes(config, width) + 16)
    weights = max(p.numel() for p in network.model.layers.parameters()) * 2 * 2 * 2  # a layer unpacked, twice
    assert peak <= len(prompts) * (longest - shared) * each + held + weights


def test_int8_loads_and_writes(folder: Path) -> None:
    model = loaded(folder, "bfloat16" if on_gpu() else "float32", "int8")
    found = model.texts(GREEDY)
    assert len(found) == len(model.prompts) and any(text for text, *_ in found.values())
    if on_gpu():
        assert any(type(m).__name__ == "Linear8bitLt" for m in model.engine.network.modules())


class Interrupted(Exception):
    """What ends a training in its middle."""


Train = Callable[..., tuple[list[float], list[int], dict[str, Any]]]


@pytest.fixture
def train(folder: Path, tmp_path: Path) -> Train:
    return partial(_train, folder, tmp_path)


def _train(
    folder: Path, place: Path, name: str, *settings: str, stop: int | None = None
) -> tuple[list[float], list[int], dict[str, Any]]:
    """Six updates of ``qlora`` in this process: losses, steps that it was resumed from, weights of the adapter.

    stop: the update after which it is interrupted.
    """
    from safetensors.torch import load_file

    from dsum_bench.machine import Machine, detect
    from dsum_bench.plugins import Plugins
    from dsum_bench.registry.load import load
    from dsum_bench.training import worker
    from dsum_bench.training.finetune import TrainingOptions, make_job
    from dsum_bench.training.job import CurvePoint, TrainingResumed
    from dsum_bench.training.prepare import TrainingRequest, prepare

    plugins = Plugins(PluginSettings(packages=()))
    (place / "registry.toml").write_text(REGISTRY.format(folder=folder), encoding="utf-8")
    registry = load([place / "registry.toml"], plugins, place)
    more = ("batch=4", "accumulate=1", "save_steps=3", "lr=3e-3", f"r={PAGED}", "epochs=10", *settings)
    request = TrainingRequest(
        "mine", "qlora", "samples-ko", "train", None, 8, None, 0, None, "template", more, 6, 42, None
    )
    machine = detect()
    assert machine.gpus or not on_gpu(), "nvidia-smi tells what there is"
    machine = machine if on_gpu() else Machine(machine.cpus, machine.total_bytes, machine.free_bytes)
    prepared = prepare(request, registry, plugins, machine)
    job = make_job(prepared, TrainingOptions(name, probe=False), plugins, place / "results")
    assert job.spec.placement.device == ("cuda:0" if on_gpu() else "cpu")
    losses, resumed = list[float](), list[int]()

    def emit(event: Any) -> None:
        if isinstance(event, TrainingResumed):
            resumed.append(event.step)
        if isinstance(event, CurvePoint) and "loss" in event.values:
            losses.append(event.values["loss"])
            if event.step == stop:
                raise Interrupted

    if stop is not None:
        with pytest.raises(Interrupted):
            worker.run(job, emit)
        return losses, resumed, {}
    worker.run(job, emit)
    return losses, resumed, load_file(job.result / "adapter_model.safetensors")


@pytest.mark.parametrize("checkpointing", ["false", "true"])
def test_qlora_learns(train: Train, checkpointing: str) -> None:
    losses, _, weights = train(f"a{checkpointing}", f"gradient_checkpointing={checkpointing}")
    assert len(losses) == 6 and losses[-1] < losses[0] - 0.1
    assert all(bool(w.abs().sum() > 0) for name, w in weights.items() if "lora_B" in name)


def test_a_resumed_training_ends_as_an_unbroken_one(train: Train) -> None:
    """The states of the paged optimiser and of the GPU's random numbers are among what is kept."""
    import torch

    losses, _, weights = train("whole")
    before, _, _ = train("broken", stop=4)
    after, resumed, found = train("broken")
    assert resumed == [3] and before[:3] == pytest.approx(losses[:3], rel=2e-3)
    assert after == pytest.approx(losses[3:], rel=2e-3)
    far = max(float((found[n] - w).norm() / w.norm()) for n, w in weights.items())
    assert weights.keys() == found.keys() and far < 0.05, "rounding alone, since kernels add in no fixed order"
    moved = max(float((w - torch.zeros_like(w)).abs().max()) for n, w in weights.items() if "lora_B" in n)
    assert moved > 0


def test_the_command_line_screens_on_the_gpu(folder: Path, dsum: Dsum) -> None:
    (dsum.folder / "registry.toml").write_text(REGISTRY.format(folder=folder), encoding="utf-8")
    done = dsum(
        "screen", "--no-controls", "mine", "--limit", "3", "--set", "max_new_tokens=8", "--metric", "rouge@char"
    )
    assert done.returncode == 0, done.stdout + done.stderr
    ((status, device, peak),) = dsum.rows("select status, device, peak_memory from runs")
    assert status == "done" and dsum.rows("select count(*) from outputs") == [(3,)]
    assert device == ("cuda:0" if on_gpu() else "cpu") and peak > 30e6
