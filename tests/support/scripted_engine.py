"""A single-file plugin: an engine that is real in everything but the writing. Loaded through ``plugins`` of a registry.

What it writes stands in ``answers.json`` of the folder that the command runs in: model -> sample -> text and finish.
A model that is not there writes what ``clean`` does.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import dsum_bench
from dsum_bench.engines.huggingface import HuggingFace
from dsum_bench.spec import Generation, Prompt

FILE = Path(__file__)
Answers = Mapping[str, tuple[str, str]]


class Scripted(HuggingFace):
    name = "scripted"

    def load(self, tell: Any) -> None:
        return

    def peak_memory(self) -> int:
        return 0

    def generate(self, prompts: Sequence[Prompt], adapter: Any, decoding: Any, tell: Any) -> Iterator[list[Generation]]:
        answers = json.loads(Path("answers.json").read_text(encoding="utf-8"))
        mine = answers.get(self.model.name, answers["clean"])
        for p in prompts:
            text, finish = mine[p.sample_id]
            yield [Generation(p.sample_id, text, len(p.token_ids), 5, finish, 0.0)]


class PadsRight(Scripted):
    name = "pads-right"

    def padding_side(self, architecture: Any) -> Any:
        return "right"


def write_answers(folder: Path, answers: Mapping[str, Answers]) -> None:
    """What each model is to write."""
    (folder / "answers.json").write_text(json.dumps(answers), encoding="utf-8")


@dsum_bench.hookimpl
def dsum_register_engines(register: Any) -> None:
    register(Scripted)
    register(PadsRight)
