"""The command line in a folder of its own, as a user calls it."""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import forked


def patience(seconds: float = 900.0) -> float:
    """Seconds after which a process counts as stuck: more where more processes than cores are waiting.

    It only ends what would never end. How long something takes is measured by benchmarks, not by tests.
    """
    return seconds * max(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))


def wait_until(happens: Callable[[], object], what: str) -> None:
    """Return once ``happens()`` is true."""
    limit = monotonic() + patience()
    while not happens():
        assert monotonic() < limit, f"not within {patience():.0f} seconds: {what}"
        sleep(0.05)


class Dsum:
    """``dsum-bench`` in a folder: 80 columns, no hub, the results in ``results/``.

    environment: on top of that of the tests.
    """

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder = folder
        self.settings = {"COLUMNS": "80", "HF_HUB_OFFLINE": "1", **environment}

    def __call__(self, *arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """Run a command to its end. No command may end in a traceback, whatever it is given."""
        done = forked.run("dsum_bench", arguments, self.folder, os.environ | self.settings | environment, patience())
        assert "Traceback (most recent call last)" not in done.stdout + done.stderr, done.stdout + done.stderr
        return done

    def start(self, *arguments: str, **settings: Any) -> subprocess.Popen[str]:
        """Begin a command; settings are those of ``Popen``."""
        settings = {"cwd": self.folder, "env": os.environ | self.settings, "text": True, **settings}
        return subprocess.Popen(self.command(*arguments), **settings)

    def rows(self, sql: str, *values: object) -> list[Any]:
        """What the results database answers."""
        with sqlite3.connect(self.folder / "results" / "dsum.db") as db:
            return db.execute(sql, values).fetchall()

    @staticmethod
    def command(*arguments: str) -> list[str]:
        return [sys.executable, "-m", "dsum_bench", *arguments]
