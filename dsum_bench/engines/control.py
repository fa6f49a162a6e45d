"""The engine of controls: no model, the adapter's answer is the output."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from dsum_bench.adapters.base import Adapter
from dsum_bench.decoding.base import Decoding
from dsum_bench.engines.base import Engine, Loaded, Plan, Tell
from dsum_bench.machine import Machine
from dsum_bench.spec import Generation, ModelSpec, Placement, Prompt

BATCH = 256


class ControlEngine(Engine):
    """Runs what needs no model."""

    name = "control"

    @classmethod
    def plan(cls, model: ModelSpec, machine: Machine, beams: int) -> Plan:
        return Plan(Placement("none", "none", "none", "no model"), weights="", config={})

    def prepare(self, tell: Tell) -> Loaded:
        return Loaded(tokenizer=None, config={}, max_tokens=None)

    def load(self, tell: Tell) -> None:
        return

    def generate(
        self, prompts: Sequence[Prompt], adapter: Adapter, decoding: Decoding | None, tell: Tell
    ) -> Iterator[list[Generation]]:
        for start in range(0, len(prompts), BATCH):
            yield [Generation(p.sample_id, p.text, 0, 0, "stop", 0.0) for p in prompts[start : start + BATCH]]
