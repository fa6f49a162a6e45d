"""How this process takes memory from the system on a CPU."""

from __future__ import annotations

import ctypes
import sys
from functools import cache

TRIM, MAPPED = -1, -3
"""M_TRIM_THRESHOLD and M_MMAP_THRESHOLD of mallopt(3)."""
KEPT, LARGE, LARGE_IN_OLD = 2**28, 2**30, 2**25
"""Bytes that are kept when they are free, and of a block that the system is asked for; versions of glibc before 2.35
accept no more than the last."""


@cache
def keep_memory() -> None:
    """Let glibc keep memory that was freed.

    Each step of decoding frees the scores over the vocabulary several times over. By itself glibc returns so much
    memory to the system at once, which clears every page before the next step has it again.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None) if sys.platform == "linux" else None
    if mallopt is not None:
        mallopt(MAPPED, LARGE) or mallopt(MAPPED, LARGE_IN_OLD)
        mallopt(TRIM, KEPT)
