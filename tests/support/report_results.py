"""Results to report: controls, models, three metrics, a training, over the dialogues that are shipped."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import replace
from importlib.resources import files
from pathlib import Path

from store_runs import MEASURES, METRIC, SIGNATURE, make_control, make_run

from dsum_bench.spec import DecodingSpec, Finding, Generation, Output, RunSpec, Sample
from dsum_bench.store.samples import keep_samples
from dsum_bench.store.writer import ScoredOutput, Store

WORDS = "rouge:v1|tok:whitespace|refs:mean|x100"
TEXT = "text|words:whitespace|refs:mean|scale:100|v:1"
TEXT_MEASURES = ("chars", "repeated", "foreign", "meta")
NAMES = ("kobart", "llama32-3b", "qwen25-7b", "exaone-2.4b")
DATASET, REFERENCES = "dialogues-of-the-report", "references-of-the-report"


def shipped_samples(n: int) -> list[Sample]:
    """The first dialogues of the shipped dev split."""
    lines = (files("dsum_bench.datasets.samples_ko") / "dev.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines[:n]]
    return [Sample(r["id"], r["dialogue"], tuple(r["summary"]), ("병원", "택배")[i % 2]) for i, r in enumerate(rows)]


def open_results(path: Path) -> Store:
    """A store with the signatures of three metrics declared."""
    store = Store.open(path)
    store.declare_signature(SIGNATURE, METRIC, MEASURES)
    store.declare_signature(WORDS, "rouge@whitespace", MEASURES)
    store.declare_signature(TEXT, "text", TEXT_MEASURES)
    return store


def run_spec(name: str, n: int, control: bool = False, **changes: object) -> RunSpec:
    made = make_control(name, n) if control else make_run(name, n=n)
    if control:
        made = replace(made, model=replace(made.model, adapter="constant"))  # what models are judged against
    return replace(made, dataset_fingerprint=DATASET, references_fingerprint=REFERENCES, **changes)  # type: ignore[arg-type]


def scores(draw: random.Random, quality: float, summary: str) -> Mapping[str, Mapping[str, float]]:
    """Values of three metrics, with more digits than anybody shows."""
    first = max(0.0, min(100.0, draw.gauss(quality, 9)))
    values = (first, first * draw.uniform(0.2, 0.5), first * draw.uniform(0.75, 1))
    rouge = dict(zip(MEASURES, (*values, sum(values), sum(values) / 3), strict=True))
    text = (float(len(summary)), draw.uniform(0, 40), draw.uniform(0, 9), 0.0)
    return {
        SIGNATURE: rouge,
        WORDS: {measure: value * 0.61 for measure, value in rouge.items()},
        TEXT: dict(zip(TEXT_MEASURES, text, strict=True)),
    }


def store_summaries(
    store: Store,
    run: RunSpec,
    samples: Sequence[Sample],
    summaries: Sequence[str],
    quality: float,
    control: bool = False,
) -> str:
    """A finished run that wrote these summaries."""
    draw = random.Random(f"{run.model.name}{quality}")
    key = store.open_run(run, "control" if control else "model")
    rows = [
        ScoredOutput(
            Output(
                Generation(s.id, f"요약: {text}", 200 + i, 30 + i, "length" if i % 7 == 3 else "stop", 0.1 + i / 100),
                text,
                trimmed_turns=int(i % 9 == 4),
            ),
            scores(draw, quality, text),
        )
        for i, (s, text) in enumerate(zip(samples, summaries, strict=True))
    ]
    store.add(key, rows, {s.id: i for i, s in enumerate(samples)})
    store.close_run(key, "done", "", 0 if control else 3 * 2**30 + 12345)
    return key


def make_results(folder: Path, n: int = 24, dialogues: bool = True) -> Path:
    """The whole of it; returns the path of the database."""
    path = folder / "dsum.db"
    samples = shipped_samples(n)
    with open_results(path) as store:
        keep_samples(store, DATASET, REFERENCES, samples, dialogues)
        copied = [s.dialogue.split("\n")[0] for s in samples]
        store_summaries(store, run_spec("constant", n, control=True), samples, ["대화를 합니다."] * n, 30, control=True)
        for i, name in enumerate((*NAMES, "kobart")):
            decoding = DecodingSpec("beam4" if i == 4 else "greedy", "beam", {"max_new_tokens": 64 + i})
            run = run_spec(name, n, decoding=decoding)
            made = [f"{s.references[0][: 30 + i]} 비행기 {c[:10]}" for s, c in zip(samples, copied, strict=True)]
            key = store_summaries(store, run, samples, made, 24 + 7 * i)
            if i == 1:
                store.keep_findings(key, "after", [Finding("cut-outputs", "warning", "3 of 24 were cut", 3, n, "C")])
        store.record(run_spec("solar-10.7b", n), "model", "skipped", "needs 21 GiB, and 8 GiB are free")
        _train(store)
    return path


def _train(store: Store) -> None:
    with store.transaction() as db:
        for number in (1, 2):
            key = f"kobart@r{number}"
            settings = json.dumps({"lr": f"{number}e-4", "epochs": "3"})
            told = [
                key,
                key,
                "kobart",
                "lora",
                "lora",
                "samples-ko",
                "train",
                "all",
                settings,
                "done",
                f"2026-01-0{number}",
            ]
            columns = "id, model, base, recipe, trainer, dataset, split, selection, settings, status, started"
            db.execute(f"insert into trainings ({columns}) values ({', '.join('?' * 11)})", told)
            for step in range(0, 60, 10):
                for measure, value in (("loss", 3 / (step + 1) * number), ("eval_loss", 2.5 / (step + 1))):
                    db.execute("insert into training_log values (?, ?, ?, ?, ?)", [key, step, measure, value, step / 2])
