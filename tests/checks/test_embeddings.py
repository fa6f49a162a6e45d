"""Rows of an embedding that were never trained: in safetensors and pickles, under the families' names."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from dsum_bench.checks.embeddings import alike, embedding, random_rows

WIDTH, HEIGHT = 512, 700
TAGS = [HEIGHT, HEIGHT + 1, HEIGHT + 2]
SIZES: dict[str, Any] = {
    "vocab_size": HEIGHT + 3,
    "hidden_size": WIDTH,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
}
FAMILIES = {
    "llama": lambda: transformers.LlamaForCausalLM(transformers.LlamaConfig(**SIZES, intermediate_size=64)),
    "neox": lambda: transformers.GPTNeoXForCausalLM(transformers.GPTNeoXConfig(**SIZES, intermediate_size=64)),
    "gpt2": lambda: transformers.GPT2LMHeadModel(
        transformers.GPT2Config(vocab_size=HEIGHT + 3, n_embd=WIDTH, n_layer=1, n_head=4)
    ),
}


def trained(generator: np.random.Generator, count: int) -> np.ndarray:
    """Rows as training leaves them: around a direction they share."""
    return generator.normal(0, 0.02, (count, WIDTH)) + generator.normal(0.05, 0.01, WIDTH)


def checkpoint(folder: Path, family: str, tags: np.ndarray, pickled: bool) -> Path:
    """A checkpoint with these rows for its last tokens, all others trained."""
    network = FAMILIES[family]()
    rows = np.concatenate([trained(np.random.default_rng(0), HEIGHT), tags]).astype(np.float32)
    network.get_input_embeddings().weight.data = torch.tensor(rows)
    if pickled:
        folder.mkdir(exist_ok=True)
        torch.save(network.state_dict(), folder / "pytorch_model.bin")
    else:
        network.save_pretrained(folder)
    return folder


@pytest.mark.parametrize("family", sorted(FAMILIES))
@pytest.mark.parametrize("pickled", [False, True])
def test_random_rows_are_told_from_trained_ones(tmp_path: Path, family: str, pickled: bool) -> None:
    generator = np.random.default_rng(1)
    drawn = generator.normal(0, 0.02, (3, WIDTH))
    found = embedding(checkpoint(tmp_path / "a", family, drawn, pickled), allow_pickle=True)
    assert found is not None
    assert random_rows(found, TAGS) == TAGS and alike(found, TAGS) == []
    learnt = np.concatenate([trained(np.random.default_rng(0), 2), drawn[:1]])
    found = embedding(checkpoint(tmp_path / "b", family, learnt, pickled), allow_pickle=True)
    assert found is not None
    assert random_rows(found, TAGS) == TAGS[2:]


def test_rows_that_are_zero_or_alike(tmp_path: Path) -> None:
    mean = trained(np.random.default_rng(0), HEIGHT).mean(axis=0)
    same = np.stack([mean, mean + 1e-5, np.zeros(WIDTH)])
    found = embedding(checkpoint(tmp_path, "llama", same, pickled=False), allow_pickle=False)
    assert found is not None and alike(found, TAGS) == TAGS


def test_pickles_are_read_only_where_they_are_allowed(tmp_path: Path) -> None:
    folder = checkpoint(tmp_path, "llama", np.zeros((3, WIDTH)), pickled=True)
    assert embedding(folder, allow_pickle=False) is None


def test_nothing_is_said_of_a_model_that_was_never_trained(tmp_path: Path) -> None:
    network = FAMILIES["llama"]()
    network.save_pretrained(tmp_path)
    found = embedding(tmp_path, allow_pickle=False)
    assert found is not None and random_rows(found, TAGS) == []
