"""What a protocol check is: it looks at a run for one way in which its numbers could be wrong."""

from __future__ import annotations

from abc import ABC
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from typing import ClassVar

from dsum_bench.adapters.base import Adapter
from dsum_bench.decoding.base import Decoding
from dsum_bench.engines.base import Engine, Loaded
from dsum_bench.metrics.base import Metric
from dsum_bench.spec import Finding, Level, Output, Prompt, RunSpec, Sample

Values = Mapping[str, Mapping[str, float]]
"""Sample id -> measure -> value, of one signature."""


@dataclass(frozen=True, slots=True)
class Setup:
    """A run before anything is generated: its tokenizer is open, its weights are not loaded.

    prompts: by sample id, of all samples.
    """

    run: RunSpec
    samples: Sequence[Sample]
    prompts: Mapping[str, Prompt]
    adapter: Adapter
    decoding: Decoding | None
    engine: Engine
    loaded: Loaded


@dataclass(frozen=True, slots=True)
class RunOutputs:
    """What a run has written so far.

    outputs: by sample id. values: signature -> scores of its samples. constants: the same of the finished run of the
    constant control on the same dialogues, {} when there is none. complete: whether all samples are there.
    """

    run: RunSpec
    samples: Mapping[str, Sample]
    outputs: Mapping[str, Output]
    complete: bool
    metrics: Collection[Metric] = ()
    values: Mapping[str, Values] = field(default_factory=dict)
    constants: Mapping[str, Values] = field(default_factory=dict)


Answer = Finding | Sequence[Finding] | None
"""What a check says: nothing, one finding, or one for each signature."""


NOTABLE = 0.01
"""Below this share of the samples a warning is a note: 1 of 499 moves no mean by more than chance does."""


class Check(ABC):
    """One way to be wrong. A subclass has at least one of ``data``, ``before`` and ``after``.

    name: stable; what users see, search the documentation for and filter by.
    mark: one letter for the leaderboard.
    level: of its findings, unless one says otherwise.
    meaning: what the mark says, in a few words.
    controls: whether it also looks at controls, which have no model.
    early: whether ``after`` is also asked once a first batch of outputs is there, to warn while there is time.
    stored: False where what it finds depends on other runs as well. It is told, and judged anew when results are read.
    """

    name: ClassVar[str]
    mark: ClassVar[str]
    level: ClassVar[Level]
    meaning: ClassVar[str]
    controls: ClassVar[bool] = False
    early: ClassVar[bool] = False
    stored: ClassVar[bool] = True

    def data(self, run: RunSpec, samples: Sequence[Sample]) -> Finding | None:
        """Look at dialogues and references alone. Asked for every run: of models, controls and files of summaries."""
        return None

    def before(self, setup: Setup) -> Finding | None:
        """Look at prompts, tokenizer and settings; nothing has been generated."""
        return None

    def after(self, written: RunOutputs) -> Answer:
        """Look at outputs and scores; some may be missing. What is about scores names their signature."""
        return None

    def found(
        self, text: str, hit: int = 0, total: int = 0, level: Level | None = None, signature: str = ""
    ) -> Finding:
        """A finding of this check. Newlines in text become spaces, so that it is one line.

        A warning about less than 1 % of the samples (``hit`` of ``total``) becomes a note; an error stays one.
        """
        level = level or self.level
        if level == "warning" and hit < NOTABLE * total:
            level = "note"
        return Finding(self.name, level, " ".join(text.split()), hit, total, self.mark, signature)


def share(hit: int, total: int) -> str:
    """``12 of 499 samples (2 %)``."""
    return f"{hit} of {total} samples ({100 * hit / total:.0f} %)" if total else f"{hit} samples"
