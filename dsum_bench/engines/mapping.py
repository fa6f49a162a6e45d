"""Weights that lie in a mapped file. Imports torch: import this module inside methods only.

Whatever is read of a mapped file counts as memory of the process until the whole file is let go of. While a network is
quantised layer by layer, its file would grow to its full size beside what is made of it.
"""

from __future__ import annotations

import ctypes
import mmap
import sys
from pathlib import Path

import torch

MADV_DONTNEED = 4


def let_go(tensor: torch.Tensor) -> None:
    """Give back the memory of a tensor in a mapped file, whose values are those of the file. Should it be read once
    more, the system reads the file again. Nothing happens to a tensor elsewhere, and on systems other than Linux.
    """
    start = tensor.data_ptr()
    end = start + tensor.nbytes
    if not sys.platform.startswith("linux") or not tensor.is_contiguous() or not _in_file(start, end):
        return
    first, last = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE, end // mmap.PAGESIZE * mmap.PAGESIZE
    if last > first:
        ctypes.CDLL(None).madvise(ctypes.c_void_p(first), ctypes.c_size_t(last - first), MADV_DONTNEED)


def _in_file(start: int, end: int) -> bool:
    """Whether these addresses lie in one mapped file."""
    with Path("/proc/self/maps").open(encoding="utf-8", errors="replace") as lines:
        for line in lines:
            place, _, _, _, inode = line.split(maxsplit=5)[:5]
            low, high = (int(part, 16) for part in place.split("-"))
            if low <= start and end <= high:
                return int(inode) != 0
    return False
