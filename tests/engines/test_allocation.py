"""Memory that is freed in a step stays with the process for the next one."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

SCRIPT = """
import psutil
import torch
from dsum_bench.engines.allocation import keep_memory

def returned():
    process = psutil.Process()
    blocks = [torch.ones(10_000_000) for _ in range(4)]
    held = process.memory_info().rss
    del blocks
    return held - process.memory_info().rss

print(returned())
keep_memory()
print(returned())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc returns memory by these rules")
def test_freed_memory_stays_with_the_process() -> None:
    done = subprocess.run([sys.executable, "-c", SCRIPT], capture_output=True, text=True, check=True, timeout=600)
    before, after = map(int, done.stdout.split())
    assert before > 100_000_000 and after < 20_000_000, done.stdout
