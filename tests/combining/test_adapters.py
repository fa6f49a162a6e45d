"""LoRA adapters averaged: what the result adds to its base is the mean of what they add, by peft's own merging."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from dsum_bench import Bench, ModelSpec, UserError
from dsum_bench.cli import main
from dsum_bench.provenance import Provenance, read, write

ADAPTERS: dict[str, dict[str, Any]] = {
    "a": {"r": 4, "lora_alpha": 8},
    "b": {"r": 2, "lora_alpha": 3, "use_rslora": True},
    "c": {"r": 4, "lora_alpha": 16},
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("base")
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
    LlamaForCausalLM(LlamaConfig(vocab_size=32, **sizes)).save_pretrained(folder)
    return folder


@pytest.fixture
def bench(tmp_path: Path, base: Path) -> Bench:
    """A bench with three trained adapters of ``mine``, and their records."""
    made = Bench(results=tmp_path / "results", progress=None)
    made._models(ModelSpec("mine", "llama3", source=(str(base),)))
    for number, (name, settings) in enumerate(ADAPTERS.items()):
        adapter(base, tmp_path / "results" / "models" / f"mine@{name}", number, **settings)
    return made


def adapter(base: Path, folder: Path, seed: int, record: dict[str, Any] | None = None, **settings: Any) -> None:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import LlamaForCausalLM

    torch.manual_seed(seed)
    config = LoraConfig(target_modules=["q_proj", "v_proj", "down_proj"], **settings)
    model = get_peft_model(LlamaForCausalLM.from_pretrained(base), config)
    for name, weight in model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(weight, std=0.3)
    model.save_pretrained(folder)
    said = {"base": "mine", "base_weights": "w", "adapter": "llama3", "prompt": "p", "dataset": "d", "split": "train"}
    dialogues = (f"only-{seed}", "shared")
    write(folder, Provenance(f"run-{seed}", **(said | (record or {})), dialogues=dialogues, recipe={"name": "lora"}))


def merged(base: Path, folder: Path) -> dict[str, Any]:
    from peft import PeftModel
    from transformers import LlamaForCausalLM

    model = PeftModel.from_pretrained(LlamaForCausalLM.from_pretrained(base), folder).merge_and_unload()
    return {name: weight.detach() for name, weight in model.named_parameters()}


@pytest.mark.parametrize(("names", "weights"), [("ab", None), ("abc", [1, 2, 5])])
def test_the_merged_average_is_the_average_of_what_is_merged(
    names: str, weights: list[float] | None, bench: Bench, base: Path
) -> None:
    folder = bench.results / "models"
    made = bench.average([f"mine@{name}" for name in names], "both", weights)
    assert made == "mine@both"
    found = merged(base, folder / made)
    parts = [merged(base, folder / f"mine@{name}") for name in names]
    shares = [w / sum(weights) for w in weights] if weights else [1 / len(names)] * len(names)
    for key, weight in found.items():
        expected = sum(share * part[key] for share, part in zip(shares, parts, strict=True))
        assert float((weight - expected).abs().max()) < 1e-5, key
    changed = [k for k in found if float((found[k] - parts[0][k]).abs().max()) > 1e-2]
    assert len(changed) == 6, "the adapters are alike"


def test_it_is_a_trained_model_that_has_seen_what_each_of_them_has(bench: Bench) -> None:
    made = bench.average(["mine@a", "mine@b"], "both")
    entry = bench.registry.models[made]
    assert entry.base == "mine" and entry.peft is not None and entry.recipe == "average"
    record = read(bench.results / "models" / made)
    assert record is not None and record.dialogues == ("only-0", "only-1", "shared")
    assert record.recipe["of"] == ["mine@a", "mine@b"] and record.run_id == "run-0+run-1"


def test_what_has_no_average_is_said(bench: Bench, base: Path, tmp_path: Path) -> None:
    folder = bench.results / "models"
    adapter(base, folder / "mine@dora", 5, r=4, use_dora=True)
    adapter(base, folder / "mine@other", 6, {"base_weights": "v"}, r=4)
    adapter(base, folder / "mine@prompt", 7, {"prompt": "q"}, r=4)
    adapter(base, folder / "mine@bias", 8, r=4, bias="lora_only")
    for names, told in (
        (["mine@a"], "at least two trained models"),
        (["mine@a", "mine"], "mine is not a trained model"),
        (["mine@a", "mine@nope"], "unknown model 'mine@nope'"),
        (["mine@a", "mine@dora"], r"mine@dora is no plain LoRA adapter \(use_dora\)"),
        (["mine@a", "mine@bias"], "mine@bias is no plain LoRA adapter"),
        (["mine@a", "mine@other"], "mine@a and mine@other differ in their weights of the base"),
        (["mine@a", "mine@prompt"], "differ in their prompt"),
    ):
        with pytest.raises(UserError, match=told):
            bench.average(names, "both")
    with pytest.raises(UserError, match="use lower-case letters"):
        bench.average(["mine@a", "mine@b"], "Both")
    with pytest.raises(UserError, match="is there already; choose another --name"):
        bench.average(["mine@a", "mine@b"], "c")
    assert not (folder / "mine@both").exists() and not list(folder.glob(".*"))


def test_the_command_says_how_to_go_on(bench: Bench, base: Path, tmp_path: Path) -> None:
    registry = tmp_path / "mine.toml"
    registry.write_text(f'[models.mine]\nadapter = "llama3"\nsource = "{base}"\n', encoding="utf-8")
    names = ["mine@a", "mine@b", "--name", "both", "--weights", "2,1"]
    done = CliRunner().invoke(main, ["average", *names, "--registry", str(registry), "--results", str(bench.results)])
    assert done.exit_code == 0, done.output
    assert "dsum-bench screen mine@both" in done.output
