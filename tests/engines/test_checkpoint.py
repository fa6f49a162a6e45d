"""What a checkpoint folder tells before loading, against safetensors and torch themselves."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from transformers import LlamaConfig, LlamaForCausalLM

from dsum_bench.engines import checkpoint
from dsum_bench.errors import ModelError


@pytest.fixture
def network() -> LlamaForCausalLM:
    torch.manual_seed(0)
    return LlamaForCausalLM(
        LlamaConfig(hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4, vocab_size=500)
    )


@pytest.fixture
def folder(tmp_path: Path, network: LlamaForCausalLM) -> Path:
    network.save_pretrained(tmp_path, max_shard_size="60KB")
    assert len(list(tmp_path.glob("*.safetensors"))) > 1
    return tmp_path


def test_weights_are_counted_as_torch_counts_them(folder: Path, network: LlamaForCausalLM) -> None:
    files = checkpoint.weight_files(folder, allow_pickle=False)
    assert checkpoint.count_weights(files) == sum(p.numel() for p in network.parameters())


def test_a_consolidated_copy_beside_the_weights_is_not_counted(tmp_path: Path, network: LlamaForCausalLM) -> None:
    network.save_pretrained(tmp_path)
    (tmp_path / "consolidated.safetensors").write_bytes((tmp_path / "model.safetensors").read_bytes())
    files = checkpoint.weight_files(tmp_path, allow_pickle=False)
    assert checkpoint.count_weights(files) == sum(p.numel() for p in network.parameters())
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(ModelError, match="has no weights"):  # transformers does not load it
        checkpoint.weight_files(tmp_path, allow_pickle=False)


def test_a_file_that_a_download_cut_off_is_named(folder: Path) -> None:
    part = sorted(folder.glob("*.safetensors"))[-1]
    whole = part.stat().st_size
    part.write_bytes(part.read_bytes()[:-100])
    with pytest.raises(ModelError, match=rf"{part.name} is cut off: it has {whole - 100} of {whole} bytes"):
        checkpoint.weight_files(folder, allow_pickle=False)


def test_links_of_a_cache_whose_files_are_gone_are_named(folder: Path, tmp_path: Path) -> None:
    part = sorted(folder.glob("*.safetensors"))[-1]
    part.unlink()
    part.symlink_to(tmp_path / "blobs" / "gone")
    with pytest.raises(ModelError, match=rf"{part.name} is a link to a file that is not there, one of"):
        checkpoint.weight_files(folder, allow_pickle=False)
    (folder / "model.safetensors").symlink_to(tmp_path / "blobs" / "gone")
    with pytest.raises(ModelError, match=r"model.safetensors is a link to a file that is not there"):
        checkpoint.weight_files(folder, allow_pickle=False)


def test_a_missing_part_is_named(folder: Path) -> None:
    part = sorted(folder.glob("*.safetensors"))[1]
    part.unlink()
    with pytest.raises(ModelError, match=f"lacks {part.name}, one of"):
        checkpoint.weight_files(folder, allow_pickle=False)


def test_a_cut_file_is_named(folder: Path) -> None:
    file = sorted(folder.glob("*.safetensors"))[0]
    file.write_bytes(file.read_bytes()[:40])
    with pytest.raises(ModelError, match="is not a complete safetensors file"):
        checkpoint.count_weights([file])


def test_pickled_weights_need_permission(tmp_path: Path) -> None:
    torch.save({"w": torch.zeros(3)}, tmp_path / "pytorch_model.bin")
    with pytest.raises(ModelError, match=r'only pickled weights .* add allow = \["pickle"\]'):
        checkpoint.weight_files(tmp_path, allow_pickle=False)
    assert [f.name for f in checkpoint.weight_files(tmp_path, allow_pickle=True)] == ["pytorch_model.bin"]


def test_no_weights_no_config_no_json(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="has no weights"):
        checkpoint.weight_files(tmp_path, allow_pickle=True)
    with pytest.raises(ModelError, match=r"has no config\.json"):
        checkpoint.read_config(tmp_path)
    (tmp_path / "config.json").write_text("{")
    with pytest.raises(ModelError, match="cannot be read"):
        checkpoint.read_config(tmp_path)
    (tmp_path / "config.json").write_text(json.dumps({"hidden_size": 3}))
    with pytest.raises(ModelError, match="has no model_type"):
        checkpoint.read_config(tmp_path)


def test_training_and_settings_change_the_fingerprint(tmp_path: Path) -> None:
    weights = {"w": torch.arange(200_000, dtype=torch.float32)}
    file = tmp_path / "model.safetensors"
    save_file(weights, file)
    first = checkpoint.fingerprint([file])
    assert checkpoint.fingerprint([file]) == first
    save_file({"w": weights["w"] + 1e-3}, file)
    trained = checkpoint.fingerprint([file])
    (tmp_path / "tokenizer.json").write_text("{}")
    assert len({first, trained, checkpoint.fingerprint([file])}) == 3


def test_a_wrong_size_in_the_registry_is_reported() -> None:
    checkpoint.check_size(3_210_000_000, 3_212_749_824, "x")
    with pytest.raises(ModelError, match=r"x has 8\.03B weights but the registry says params = 3\.21B"):
        checkpoint.check_size(3_210_000_000, 8_030_000_000, "x")
