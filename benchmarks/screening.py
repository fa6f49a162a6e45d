"""Generation: our engine against the notebook's loop, transformers' pipeline, lm-evaluation-harness, CTranslate2 and
llama.cpp.

Every peer has the same weights, in float32 where nothing else is said, the same token ids to begin with and the same
decoding, and must write the same texts.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from time import perf_counter
from typing import Any

from benchmarks.measure import Row, interleaved
from benchmarks.peers import peers as engines
from dsum_bench.adapters.base import AdapterContext
from dsum_bench.adapters.build import build
from dsum_bench.decoding.base import Decoding
from dsum_bench.decoding.strategies import Beam, BeamParams, Greedy, GreedyParams
from dsum_bench.engines.huggingface import HuggingFace
from dsum_bench.machine import detect
from dsum_bench.plugins import Plugins
from dsum_bench.registry.load import load
from dsum_bench.spec import ModelSpec, PluginSettings, Sample

NEW = 64
EVERY = 4
"""The notebook's loop is timed on every fourth dialogue: its time is one dialogue's after the other's."""
FOREIGN = re.compile(r"[\u3040-\u30ff\u3400-\u9fff]")


class Bench:
    """A loaded model with its prompts."""

    def __init__(self, data: Path, count: int, model: ModelSpec | None = None, prompt: str = "en-default") -> None:
        registry = load()
        spec = model or registry.model("smollm2-135m")
        self.engine = HuggingFace(spec, HuggingFace.plan(spec, detect(), 1).placement)
        loaded = self.engine.prepare(print)
        self.engine.load(print)
        plugins = Plugins(PluginSettings(packages=()))
        context = AdapterContext(spec, registry.prompt(prompt), "template", "en", loaded.tokenizer, 8192 - NEW)
        self.adapter = build(plugins, context)
        with data.open(encoding="utf-8") as file:
            rows = [json.loads(line) for line in file][:count]
        samples = [Sample(str(r.get("fname", r.get("id"))), r["dialogue"]) for r in rows]
        self.prompts = [self.adapter.prompt(s) for s in samples]
        self.tokenizer, self.network = loaded.tokenizer, plain(self.engine)
        self.ends = list(self.engine._ends(self.adapter))
        self.pad = self.ends[0]

    def texts(self, ids: dict[str, list[int]]) -> dict[str, str]:
        cut = {n: row[: next((i for i, t in enumerate(row) if t in self.ends), len(row))] for n, row in ids.items()}
        return {n: self.adapter.decode(row) for n, row in cut.items()}

    def some(self, every: int, work: Callable[[], dict[str, str]]) -> dict[str, str]:
        """Work on every so many-th prompt alone."""
        whole = self.prompts
        self.prompts = whole[::every]
        try:
            return work()
        finally:
            self.prompts = whole

    # -- the peers --------------------------------------------------------------------------------------------

    def ours(self, decoding: Decoding) -> dict[str, str]:
        batches = self.engine.generate(self.prompts, self.adapter, decoding, lambda text: None)
        return {made.sample_id: made.text for batch in batches for made in batch}

    def notebook(self, beams: int, new: int = NEW) -> dict[str, str]:
        """One prompt at a time, its list of forbidden tokens made anew by decoding the vocabulary."""
        import torch

        found = {}
        for prompt in self.prompts:
            banned = [[i] for i in range(len(self.tokenizer)) if FOREIGN.search(self.tokenizer.decode([i]))]
            ids = torch.tensor([prompt.token_ids], device=self.network.device)
            with torch.no_grad():
                out = self.network.generate(
                    ids, attention_mask=torch.ones_like(ids), max_new_tokens=new, num_beams=beams, do_sample=False,
                    early_stopping=beams > 1, bad_words_ids=banned or None, eos_token_id=self.ends,
                    pad_token_id=self.pad,
                )  # fmt: skip
            found[prompt.sample_id] = out[0, ids.shape[1] :].tolist()
        return self.texts(found)

    def pipeline(self, beams: int, batch: int) -> dict[str, str]:
        from transformers import TextGenerationPipeline

        pipe = TextGenerationPipeline(model=self.network, tokenizer=self._padded(), batch_size=batch)
        outputs = pipe(
            [p.text for p in self.prompts], add_special_tokens=False, return_tensors=True, max_new_tokens=NEW,
            num_beams=beams, do_sample=False, early_stopping=beams > 1, eos_token_id=self.ends, pad_token_id=self.pad,
        )  # fmt: skip
        found = {}
        for prompt, (output,) in zip(self.prompts, outputs, strict=True):
            ids = list(output["generated_token_ids"])
            start = next(i for i in range(len(ids)) if ids[i : i + 8] == list(prompt.token_ids[:8]))
            found[prompt.sample_id] = ids[start + len(prompt.token_ids) :]
        return self.texts(found)

    def lm_eval(self, beams: int, batch: int | str) -> dict[str, str]:
        from lm_eval.api.instance import Instance
        from lm_eval.models.huggingface import HFLM

        harness = HFLM(
            pretrained=self.network, tokenizer=self._padded(), batch_size=batch, max_batch_size=32, device="cpu",
            add_bos_token=False, backend="causal",
        )  # fmt: skip
        settings: dict[str, Any] = {
            "until": [self.tokenizer.decode([self.ends[0]])], "max_gen_toks": NEW, "do_sample": False,
            "num_beams": beams,
        } | ({"early_stopping": True} if beams > 1 else {})  # fmt: skip
        asked = [Instance("generate_until", {}, (p.text, settings), i) for i, p in enumerate(self.prompts)]
        made = harness.generate_until(asked, disable_tqdm=True)
        return {p.sample_id: text for p, text in zip(self.prompts, made, strict=True)}

    def _padded(self) -> Any:
        self.tokenizer.padding_side = "left"
        self.tokenizer.pad_token_id = self.pad
        return self.tokenizer


def plain(engine: HuggingFace) -> Any:
    """The network as peers load it: on a CPU ours has packed layers and an attention of its own."""
    from transformers import AutoModelForCausalLM

    if engine.network.device.type != "cpu":
        return engine.network
    return AutoModelForCausalLM.from_pretrained(engine.folder, dtype="float32", local_files_only=True).eval()


def run(data: Path, count: int, repeats: int) -> tuple[list[Row], list[str]]:
    """Rows of the table, and remarks."""
    bench = Bench(data, count)
    tokens = sum(len(p.token_ids) for p in bench.prompts)
    remarks = [f"{len(bench.prompts)} dialogues of {data.name}, {tokens:,} prompt tokens, {NEW} new tokens at most."]
    rows: list[Row] = []
    for name, beams, decoding in (
        ("greedy", 1, Greedy(GreedyParams(max_new_tokens=NEW))),
        ("beam4", 4, Beam(BeamParams(max_new_tokens=NEW, beams=4))),
    ):
        found, remark = _compare(bench, name, beams, decoding, repeats)
        rows += found
        remarks += remark
    return rows, [*remarks, *_roofline(bench)]


def _compare(bench: Bench, name: str, beams: int, decoding: Decoding, repeats: int) -> tuple[list[Row], list[str]]:
    import torch

    texts: dict[str, dict[str, str]] = {}

    def kept(peer: str, every: int, work: Callable[[], dict[str, str]]) -> tuple[str, Callable[[], None]]:
        def timed() -> None:
            texts[peer] = bench.some(every, work)

        return peer, timed

    peers = dict([
        kept("ours", 1, lambda: bench.ours(decoding)),
        kept("the notebook's loop", EVERY, lambda: bench.notebook(beams)),
    ])  # fmt: skip
    if beams == 1:  # with beams both read every prompt once for each beam, as the loop does
        pipe = best(bench, lambda size: bench.pipeline(beams, size))
        harness = best(bench, lambda size: bench.lm_eval(beams, size))
        peers |= dict([
            kept(f"pipeline, batches of {pipe}", 1, lambda: bench.pipeline(beams, pipe)),
            kept(f"lm-eval, batches of {harness}", 1, lambda: bench.lm_eval(beams, harness)),
        ])  # fmt: skip
        others = engines(bench, NEW, torch.get_num_threads())
        peers |= dict(kept(name, 1, work) for name, work in others.items())
    seconds = interleaved(peers, repeats)
    rows = []
    for peer, times in seconds.items():
        if peer == "ours":
            continue
        same = [texts[peer][i] == texts["ours"][i] for i in texts[peer]]
        scaled = [t * len(bench.prompts) / len(texts[peer]) for t in times]
        rows.append(Row(f"screening, {name}", peer, seconds["ours"], scaled, f"{sum(same)} of {len(same)} texts equal"))
    return rows, [f"{name}: {len(bench.prompts) * NEW / median(seconds['ours']):.0f} new tokens a second at most."]


def best(bench: Bench, work: Callable[[int], dict[str, str]], sizes: tuple[int, ...] = (8, 16)) -> int:
    """The batch size that a peer is fastest with, found on a quarter of the prompts."""
    found = {}
    for size in sizes:
        start = perf_counter()
        bench.some(max(1, len(bench.prompts) // 16), partial(work, size))
        found[size] = perf_counter() - start
    return min(found, key=lambda size: found[size])


def _roofline(bench: Bench) -> list[str]:
    """What the processor could do at best: every prompt token once, every new token once, weights read each step."""
    import torch

    inner = bench.network.config.hidden_size
    a, b = torch.randn(2048, inner), torch.randn(4 * inner, inner)
    work = 2 * 2048 * inner * 4 * inner
    flops = work / min(interleaved({"product": lambda: torch.nn.functional.linear(a, b)}, 7)["product"])
    big = torch.randn(64 * 2**20)
    copied = 2 * big.numel() * 4 / min(interleaved({"copy": big.clone}, 5)["copy"])
    weights = sum(p.numel() for p in bench.network.parameters())
    head = bench.network.get_output_embeddings().weight.numel()
    shared = len(bench.prompts[0].token_ids)
    first = bench.prompts[0].token_ids
    for prompt in bench.prompts:
        same = (i for i, (x, y) in enumerate(zip(first, prompt.token_ids, strict=False)) if x != y)
        shared = min(shared, next(same, shared))
    count = len(bench.prompts)
    read = sum(len(p.token_ids) for p in bench.prompts) - (count - 1) * shared
    reading = 2 * (weights - head) * read / flops
    writing = 2 * weights * count * NEW / flops
    return [
        f"Roofline: {flops / 1e9:.0f} GFLOP/s in a product of 2048 x {inner} and {inner} x {4 * inner}, "
        f"{copied / 1e9:.0f} GB/s in a copy. {read:,} prompt tokens after the shared start of {shared} take at least "
        f"{reading:.1f} s, {count * NEW:,} new tokens {writing:.1f} s of arithmetic, {weights * 4 / copied * 1e3:.0f} "
        "ms a step to read the weights."
    ]
