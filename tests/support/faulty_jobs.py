"""A single-file plugin whose engine and trainer go wrong in the same ways, for the tests of supervision.

What goes wrong is named by the environment variable FAULT.
"""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import dsum_bench
from dsum_bench.engines.control import ControlEngine
from dsum_bench.training.params import TrainingParams


def go_wrong() -> None:
    fault = os.environ["FAULT"]
    print(f"about to go wrong: {fault}")
    if fault == "exits":
        sys.exit("enough")
    elif fault == "dies":
        os._exit(3)
    elif fault == "killed":
        os.kill(os.getpid(), signal.SIGKILL)
    elif fault == "crashes":
        os.kill(os.getpid(), signal.SIGSEGV)
    elif fault == "raises":
        raise ZeroDivisionError("by nothing")
    elif fault == "full":
        raise OSError(errno.ENOSPC, "No space left on device")
    elif fault == "deaf":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    elif fault == "parent":
        process = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"])
        Path("pids.new").write_text(f"{os.getpid()} {process.pid}", encoding="ascii")
        Path("pids.new").rename("pids")
    time.sleep(600)


class FaultyEngine(ControlEngine):
    name = "faulty"

    def __init__(self, model, placement) -> None:  # type: ignore[no-untyped-def]
        super().__init__(model, placement)
        go_wrong()


class FaultyTrainer(dsum_bench.Trainer):
    name = "faulty"
    Params = TrainingParams
    keeps = "adapter"

    def __init__(self, params) -> None:  # type: ignore[no-untyped-def]
        super().__init__(params)
        go_wrong()

    def prepare(self, network):  # type: ignore[no-untyped-def]
        return network


@dsum_bench.hookimpl
def dsum_register_engines(register) -> None:  # type: ignore[no-untyped-def]
    register(FaultyEngine)


@dsum_bench.hookimpl
def dsum_register_trainers(register) -> None:  # type: ignore[no-untyped-def]
    register(FaultyTrainer)
