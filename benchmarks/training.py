"""Training: batches of like length, and packed ones, against filling every row up to 512 tokens."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any

from benchmarks.measure import Row, interleaved
from benchmarks.screening import Bench
from dsum_bench.spec import Sample
from dsum_bench.training.batches import Collator, Packed, Rows, packing, rows_of
from dsum_bench.training.params import LoraParams
from dsum_bench.training.texts import TrainingText, build_texts
from dsum_bench.training.trainers import LoRA

ROWS, BATCH, FIXED = 16, 4, 512


class Fixed(Collator):
    """The notebook's way: every row filled up to 512 tokens, logits for all of them."""

    def __call__(self, rows: Rows, whole: bool = False) -> dict[str, Any]:
        filled = [{name: values[:FIXED] for name, values in row.items()} for row in rows]
        longest = {"input_ids": [self.pad] * FIXED, "labels": [-100] * FIXED}
        made = super().__call__([*filled, longest], whole)
        mask = made["attention_mask"]
        for n, row in enumerate(filled):
            mask[n, : FIXED - len(row["input_ids"])] = 0
        return {name: tensor[:-1] for name, tensor in made.items()}


def run(data: Path, count: int, repeats: int) -> tuple[list[Row], list[str]]:
    """Rows of the table, and remarks."""
    bench = Bench(data, 1)
    with data.open(encoding="utf-8") as file:
        found = [json.loads(line) for line in file][:ROWS]
    samples = [Sample(str(n), r["dialogue"], (r.get("summary") or r["summary1"],)) for n, r in enumerate(found)]
    texts = [t for t in build_texts(bench.adapter, samples, FIXED) if len(t.input_ids) <= FIXED]
    network = LoRA(LoraParams(gradient_checkpointing=False, dropout=0.0)).prepare(bench.network).train()
    padded = Collator(bench.pad, decoder=True, slices=True)
    takes = dict.fromkeys(("logits_to_keep", "position_ids"))
    ordered = sorted(texts, key=lambda t: len(t.input_ids))
    work: dict[str, Callable[[], None]] = {
        "ours": partial(_epoch, network, padded, ordered),
        "packed": partial(_epoch, network, packing(network, padded, texts, takes), texts),
        f"every row filled up to {FIXED}": partial(_epoch, network, Fixed(bench.pad, True, False), texts),
    }
    seconds = interleaved(work, repeats)
    tokens = sum(len(t.input_ids) for t in texts)
    rows = [
        Row(f"LoRA, {len(texts)} rows in batches of {BATCH} of like length", peer, seconds["ours"], seconds[peer])
        for peer in work
        if peer != "ours"
    ]
    rates = ", ".join(f"{name} {tokens / median(times):.0f}" for name, times in seconds.items())
    return rows, [f"{tokens:,} tokens of prompts and summaries. Tokens a second, forward and backward: {rates}."]


def _epoch(network: Any, collate: Collator | Packed, texts: Sequence[TrainingText]) -> None:
    for at in range(0, len(texts), BATCH):
        network(**collate(rows_of(texts[at : at + BATCH])), use_cache=False).loss.backward()
    network.zero_grad(set_to_none=True)
