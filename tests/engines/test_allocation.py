"""Memory that is freed in a step stays with the process for the next one."""

from __future__ import annotations

import os
import platform
import subprocess
import sys

import pytest

SCRIPT = """
import psutil
import torch
from dsum_bench.engines.allocation import keep_between_steps

def returned():
    process = psutil.Process()
    blocks = [torch.ones(10_000_000) for _ in range(4)]
    held = process.memory_info().rss
    del blocks
    return held - process.memory_info().rss

print(returned())
keep_between_steps()
print(returned())
"""


def returned(**chosen: str) -> tuple[int, int]:
    """Bytes that go back to the system when blocks of 40 MB are freed, before and after. chosen: glibc's variables."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT], env=os.environ | chosen, capture_output=True, text=True, check=True, timeout=600
    )
    before, after = map(int, done.stdout.split())
    return before, after


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc returns memory by these rules")
def test_freed_memory_stays_with_the_process() -> None:
    before, after = returned()
    assert before > 100_000_000 and after < 20_000_000


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc returns memory by these rules")
def test_glibcs_own_variables_are_left_as_they_are() -> None:
    before, after = returned(MALLOC_MMAP_THRESHOLD_="1048576")
    assert before > 100_000_000 and after > 100_000_000


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="only glibc can be asked for what is free")
def test_what_is_free_between_other_blocks_is_returned() -> None:
    script = """
import psutil
from dsum_bench.engines.allocation import trim
blocks = [bytearray(60_000) for _ in range(2000)]
del blocks[::2]
held = psutil.Process().memory_info().rss
trim()
print(held - psutil.Process().memory_info().rss)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=600)
    assert int(done.stdout) > 30_000_000
