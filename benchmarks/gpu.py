"""Generation on a GPU at the shapes of Llama-3.2-3B and Llama-3-8B, in bfloat16 and NF4, with random weights.

Random weights write nonsense at the speed of real ones. Their end token is never the likeliest, so all outputs have
the same length. Peers are the notebook's loop and transformers' pipeline in its best batch size.
"""

from __future__ import annotations

import gc
import os
import tempfile
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any, Literal

import click

from benchmarks.measure import Row, interleaved
from benchmarks.screening import EVERY, NEW, Bench, best
from benchmarks.script import TOKENIZER
from dsum_bench.decoding.base import Decoding
from dsum_bench.decoding.strategies import Beam, BeamParams, Greedy, GreedyParams
from dsum_bench.spec import ModelSpec

COMMON = {"vocab_size": 128256, "max_position_embeddings": 8192, "num_key_value_heads": 8,
          "rope_parameters": {"rope_type": "default", "rope_theta": 500000.0}}  # fmt: skip
SHAPES: dict[str, dict[str, Any]] = {
    "llama32-3b": COMMON | {"hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 28,
                            "num_attention_heads": 24, "head_dim": 128, "tie_word_embeddings": True},
    "llama3-8b": COMMON | {"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
                           "num_attention_heads": 32, "head_dim": 128},
}  # fmt: skip
PACKINGS: tuple[Literal["none", "nf4"], ...] = ("none", "nf4")


def run(data: Path, count: int, repeats: int) -> tuple[list[Row], list[str]]:
    """Rows of the table, and remarks.

    Raises:
        ClickException: no GPU, or no tokenizer is named.
    """
    import torch

    if not torch.cuda.is_available():
        raise click.ClickException("the part gpu needs a GPU that torch can use")
    if TOKENIZER not in os.environ:
        raise click.ClickException(f"the part gpu needs a folder with Llama 3's tokenizer in {TOKENIZER}")
    rows: list[Row] = []
    speed = bandwidth("cuda")
    remarks = [f"{torch.cuda.get_device_name()}: {speed / 1e9:.0f} GB/s in a copy."]
    for name, shape in SHAPES.items():
        with tempfile.TemporaryDirectory() as folder:
            save(shape, Path(os.environ[TOKENIZER]), Path(folder), "cuda")
            for packing in PACKINGS:
                found, remark = compare(name, Path(folder), packing, data, count, repeats, speed)
                rows += found
                remarks += remark
    return rows, remarks


def save(shape: Mapping[str, Any], tokenizer: Path, folder: Path, device: str) -> None:
    """A checkpoint of this shape in bfloat16, with a real tokenizer beside it."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    words = AutoTokenizer.from_pretrained(tokenizer)
    words.save_pretrained(folder)
    config = LlamaConfig(**shape, bos_token_id=words.bos_token_id, eos_token_id=words.eos_token_id)
    torch.manual_seed(0)
    with torch.device(device):
        network = LlamaForCausalLM._from_config(config, dtype=torch.bfloat16)
    with torch.no_grad():
        # The logits of special tokens are then 0, below the largest of all others.
        network.get_output_embeddings().weight[words.vocab_size :] = 0
    network.save_pretrained(folder)
    del network
    give_back()


def compare(
    name: str, folder: Path, packing: Literal["none", "nf4"], data: Path, count: int, repeats: int, speed: float
) -> tuple[list[Row], list[str]]:
    """One shape in one packing. speed: bytes a second that memory moves."""
    spec = ModelSpec(name=name, adapter="llama3", source=(str(folder),), dtype="bfloat16", quantization=packing)
    bench = Bench(data, count, spec)
    label = f"{name}, {'bfloat16' if packing == 'none' else packing}"
    rows = [
        *against(bench, f"{label}, greedy", 1, Greedy(GreedyParams(max_new_tokens=NEW)), repeats),
        *against(bench, f"{label}, beam4", 4, Beam(BeamParams(max_new_tokens=NEW, beams=4)), repeats),
    ]
    weights = sum(p.numel() * p.element_size() for p in bench.network.parameters())
    table = bench.network.get_input_embeddings().weight
    if not bench.network.config.tie_word_embeddings:
        weights -= table.numel() * table.element_size()  # of which a step reads a row for each token
    limit, spent = NEW * weights / speed, median(rows[0].ours)
    remark = (
        f"{label}: {len(bench.prompts) * NEW / spent:.0f} new tokens a second greedily. Reading {weights / 1e9:.2f} GB "
        f"of weights once for each of {NEW} steps takes {limit:.2f} s, {100 * limit / spent:.0f} % of the time taken."
    )
    del bench
    give_back()
    return rows, [remark]


def against(bench: Bench, what: str, beams: int, decoding: Decoding, repeats: int) -> list[Row]:
    """The two peers in one decoding."""
    size = best(bench, partial(bench.pipeline, beams), (8, 32, 64))
    seconds = interleaved(
        {
            "ours": lambda: bench.ours(decoding),
            "loop": lambda: bench.some(EVERY, lambda: bench.notebook(beams)),
            "pipe": lambda: bench.pipeline(beams, size),
        },
        repeats,
    )
    loop = [t * EVERY for t in seconds["loop"]]
    return [
        Row(what, "the notebook's loop", seconds["ours"], loop),
        Row(what, f"pipeline, batches of {size}", seconds["ours"], seconds["pipe"]),
    ]


def bandwidth(device: str) -> float:
    """Bytes a second that a copy reads and writes."""
    import torch

    big = torch.randn(2**28 if device == "cuda" else 2**24, device=device)

    def copy() -> None:
        big.clone()
        if device == "cuda":
            torch.cuda.synchronize()

    return 2 * big.numel() * 4 / min(interleaved({"copy": copy}, 5)["copy"])


def give_back() -> None:
    """Free what is no longer held."""
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
