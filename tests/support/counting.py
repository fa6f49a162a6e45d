"""An engine that notes what it is asked to generate, for tests of what is generated and what is taken over."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator, Sequence
from pathlib import Path

from dsum_bench.adapters.base import Adapter
from dsum_bench.decoding.base import Decoding
from dsum_bench.engines.base import Tell
from dsum_bench.engines.control import ControlEngine
from dsum_bench.spec import Generation, Prompt

FILE, KILL = "DSUM_TEST_COUNTED", "DSUM_TEST_KILL_AFTER"
"""Variables: the file that takes the ids; the number of samples after which the worker is killed."""


class Counting(ControlEngine):
    """Gives the control's answer, one sample a batch, and adds its id to the file."""

    name = "counting"

    def generate(
        self, prompts: Sequence[Prompt], adapter: Adapter, decoding: Decoding | None, tell: Tell
    ) -> Iterator[list[Generation]]:
        for number, prompt in enumerate(prompts):
            if number == int(os.environ.get(KILL, "-1")):
                os.kill(os.getpid(), signal.SIGKILL)
            with Path(os.environ[FILE]).open("a", encoding="utf-8") as file:
                file.write(f"{prompt.sample_id}\n")
            yield [Generation(prompt.sample_id, prompt.text, 3, 2, "stop", 0.5)]


def counted(file: Path) -> list[str]:
    """Ids that were generated since the last call."""
    ids = file.read_text(encoding="utf-8").split() if file.exists() else []
    file.unlink(missing_ok=True)
    return ids
