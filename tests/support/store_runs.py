"""Runs and outputs to put into a results database."""

from __future__ import annotations

import json
import os
import sqlite3
import struct
from collections.abc import Mapping
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from dsum_bench.spec import DecodingSpec, Generation, ModelSpec, Output, Placement, PromptSpec, RunSpec
from dsum_bench.store.rows import ScoredOutput
from dsum_bench.store.writer import Kind, Status, Store

SIGNATURE = "rouge:v1|tok:mecab|dic:ko-2.1.1|refs:mean|x100"
METRIC = "rouge@mecab"
MEASURES = ("rouge1", "rouge2", "rougeL", "sum", "mean")

ROOT = Path(__file__).parents[2]
WITH_SUPPORT = os.environ | {"PYTHONPATH": f"{ROOT / 'tests' / 'support'}{os.pathsep}{ROOT}"}
"""The environment of a process that imports these modules."""

GREEDY = DecodingSpec("greedy", "greedy", {"max_new_tokens": 128})


def make_run(name: str = "small-model", params: int | None = 135_000_000, n: int = 4, **changes: Any) -> RunSpec:
    """A run over n samples; ``changes`` are fields of RunSpec."""
    base = RunSpec(
        model=ModelSpec(name, "chat", source=("hub/name",), params=params),
        dataset="talks",
        language="ko",
        split="dev",
        selection="all",
        n_samples=n,
        dataset_fingerprint=f"dialogues-{n}",
        references_fingerprint="references-1",
        prompt=PromptSpec("ko", "요약: {dialogue}", "너는 요약한다."),
        prompt_format="template",
        decoding=GREEDY,
        placement=Placement("cpu", "float32", "none", "no GPU"),
        weights="abc",
        seed=42,
        versions={"torch": "2.13"},
    )
    return replace(base, **changes)


def make_control(name: str = "constant", n: int = 4, **changes: Any) -> RunSpec:
    return make_run(name, 0, n, prompt=None, decoding=None, placement=Placement("none", "none", "none", ""), **changes)


def measures(base: float) -> dict[str, float]:
    """rouge1 is base; the others follow as they do in the real metric."""
    values = {"rouge1": base, "rouge2": base / 4, "rougeL": base * 0.75}
    total = sum(values.values())
    return values | {"sum": total, "mean": total / 3}


def scored(
    index: int, base: float = 40.0, summary: str = "요약", signature: str = SIGNATURE, **generation: Any
) -> ScoredOutput:
    """The finished sample ``s{index}``, taking half a second."""
    made = Generation(f"s{index}", f"출력: {summary}", 100, 20, "stop", 0.5)
    return ScoredOutput(Output(replace(made, **generation), summary), {signature: measures(base)})


def positions(n: int) -> Mapping[str, int]:
    return {f"s{i}": i for i in range(n)}


def store_run(
    store: Store,
    run: RunSpec,
    base: float = 40.0,
    kind: Kind = "model",
    status: Status = "done",
    reason: str = "",
    finished: int | None = None,
    signature: str = SIGNATURE,
    peak_memory: int = 0,
) -> str:
    """Put a whole run into the store, ``finished`` of its samples (all unless told), and return its key."""
    key = store.open_run(run, kind)
    n = run.n_samples if finished is None else finished
    store.add(key, [scored(i, base + i, signature=signature) for i in range(n)], positions(n))
    store.close_run(key, status, reason, peak_memory)
    return key


def open_store(path: Path) -> Store:
    """A store in which the usual signature is declared."""
    store = Store.open(path)
    store.declare_signature(SIGNATURE, METRIC, MEASURES)
    return store


def score_rows(path: Path) -> list[tuple[str, str, int, str, float]]:
    """Run, sample, number of the signature, measure and value of every stored score, sorted."""
    sql = """select run_id, samples, signature_id, measure, data
        from score_parts join score_columns on part_id = score_parts.id"""
    with closing(sqlite3.connect(path)) as db:
        return sorted(
            (run, sample, signature, measure, value)
            for run, samples, signature, measure, data in db.execute(sql)
            for sample, value in zip(json.loads(samples), struct.unpack(f"<{len(data) // 8}d", data), strict=True)
            if value == value
        )


def parts(path: Path) -> int:
    """In how many parts the scores of all runs are stored."""
    with closing(sqlite3.connect(path)) as db:
        return int(db.execute("select count(*) from score_parts").fetchone()[0])


def rows(path: Path, sql: str, *values: object) -> list[Any]:
    """Read the file with a connection of our own, not through the code under test."""
    with closing(sqlite3.connect(path)) as db:
        return db.execute(sql, values).fetchall()
