"""A real Ray cluster of several nodes on this machine, and an engine that waits instead of computing."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pandas as pd

ENGINE = '''
"""An engine that takes its time, and does what it is told to do at one sample."""
import os, signal, time
import dsum_bench
from dsum_bench.engines.control import ControlEngine
from dsum_bench.spec import Generation, Placement
from dsum_bench.engines.base import Plan

SECONDS, LOADING, POISON, FAULT = {seconds!r}, {loading!r}, {poison!r}, {fault!r}


class Waits(ControlEngine):
    name = "waits"

    @classmethod
    def plan(cls, model, machine, beams):
        return Plan(Placement("none", "none", "none", "no model"), weights="", config={{}})

    def load(self, tell):
        time.sleep(LOADING)
        if FAULT == "load":
            os.kill(os.getpid(), signal.SIGKILL)

    def generate(self, prompts, adapter, decoding, tell):
        for start in range(0, len(prompts), 4):
            batch = prompts[start : start + 4]
            for prompt in batch:
                if prompt.sample_id == POISON:
                    print("about to go wrong:", FAULT, flush=True)
                    if FAULT == "kill":
                        os.kill(os.getpid(), signal.SIGKILL)
                    elif FAULT == "hang":
                        time.sleep(3600)
                    elif FAULT == "raise":
                        raise ZeroDivisionError("by nothing")
                time.sleep(SECONDS)
            yield [Generation(p.sample_id, p.text, 1, 1, "stop", SECONDS) for p in batch]


@dsum_bench.hookimpl
def dsum_register_engines(register):
    register(Waits)
'''


def waiting(folder: Path, seconds: float = 0.0, loading: float = 0.0, poison: str = "", fault: str = "") -> Path:
    """A plugin file with the engine ``waits``. seconds: for each sample; loading: for its model."""
    file = folder / "waiting_engine.py"
    text = ENGINE.format(seconds=seconds, loading=loading, poison=poison, fault=fault)
    file.write_text(text, encoding="utf-8")
    return file


def dialogues(count: int) -> pd.DataFrame:
    """Dialogues that differ, as a dataset."""
    rows = [
        {
            "id": f"s{i}",
            "dialogue": f"#Person1#: {i}번 안건입니다.\n#Person2#: 네, {i}번이요.",
            "summary": f"{i}번 안건을 말한다.",
        }
        for i in range(count)
    ]
    frame = pd.DataFrame(rows)
    frame.attrs["name"] = "agenda"
    return frame


@contextmanager
def cluster(nodes: int) -> Iterator[Any]:
    """Nodes with a CPU each; the first one is the head. Its address is ``cluster.address``."""
    import ray
    from ray.cluster_utils import Cluster

    os.environ.setdefault("RAY_worker_niceness", "0")  # else they wait for whatever else this machine does
    os.environ.setdefault("RAY_health_check_period_ms", "1000")
    os.environ.setdefault("RAY_health_check_failure_threshold", "3")
    made = Cluster(initialize_head=True, head_node_args=node())
    try:
        for _ in range(1, nodes):
            made.add_node(**node())
        made.wait_for_nodes()
        yield made
    finally:
        ray.shutdown()
        made.shutdown()


def node() -> dict[str, Any]:
    """Arguments of a node of the cluster."""
    return {"num_cpus": 1, "object_store_memory": 80 * 2**20, "include_dashboard": False}
