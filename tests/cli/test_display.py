"""Where progress is live: in a terminal, never in a pipe, whatever FORCE_COLOR says."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from dsum_bench.progress.display import Display


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("file", "live"), [(io.StringIO(), False), (Terminal(), True)])
def test_forced_colour_makes_no_pipe_live(file: io.StringIO, live: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("TERM", "xterm")
    console = Console(file=file)
    assert console.is_terminal  # what rich makes of it
    assert Display("auto", console).live is live
