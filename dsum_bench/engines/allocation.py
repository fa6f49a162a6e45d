"""What the C library does with memory that is freed, where it is glibc. Elsewhere nothing is changed."""

from __future__ import annotations

import os
from contextlib import suppress

# From glibc's malloc.h.
M_TRIM_THRESHOLD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -3, -4
MIB = 1 << 20
GIVEN = ("MALLOC_MMAP_THRESHOLD_", "MALLOC_TRIM_THRESHOLD_", "MALLOC_MMAP_MAX_", "GLIBC_TUNABLES")
"""glibc's own variables; who sets one of them has chosen."""


def give_memory_back() -> None:
    """Have large blocks returned to the system when they are freed.

    By default glibc keeps blocks up to 32 MB, and what a checkpointed layer leaves behind piles up between the few that
    stay: 2.4 GB instead of 1.4 for 4 rows of 256 tokens of SmolLM2-135M.
    """
    _set((M_MMAP_THRESHOLD, MIB))


def keep_freed_memory() -> None:
    """Keep freed blocks for the next batch. The system clears every page it hands out, a third of a training step."""
    _set((M_MMAP_MAX, 0), (M_TRIM_THRESHOLD, 2047 * MIB))


def keep_between_steps() -> None:
    """Keep what a step of decoding frees: scores over the vocabulary, several times over.

    By itself glibc returns so much memory at once, and the system clears every page before the next step has it again.
    """
    # Before version 2.35 glibc accepts no larger threshold than 32 MiB; the first one stays then.
    _set((M_MMAP_THRESHOLD, 32 * MIB), (M_MMAP_THRESHOLD, 1024 * MIB), (M_TRIM_THRESHOLD, 256 * MIB))


def trim() -> None:
    """Return what is free now, wherever it lies."""
    import ctypes

    with suppress(OSError, AttributeError):
        ctypes.CDLL("libc.so.6").malloc_trim(0)


def _set(*options: tuple[int, int]) -> None:
    import ctypes

    if any(name in os.environ for name in GIVEN):
        return
    with suppress(OSError, AttributeError):
        library = ctypes.CDLL("libc.so.6")
        for name, value in options:
            library.mallopt(name, value)
