"""What this machine has, found without importing torch and without opening a GPU context."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Gpu:
    """One CUDA device. index: its number for CUDA_VISIBLE_DEVICES. Sizes in bytes."""

    index: str
    name: str
    total_bytes: int
    free_bytes: int


@dataclass(frozen=True, slots=True)
class Machine:
    """Sizes in bytes. mps: an Apple GPU that shares the main memory."""

    cpus: int
    total_bytes: int
    free_bytes: int
    gpus: tuple[Gpu, ...] = ()
    mps: bool = False


def detect() -> Machine:
    """Look at this machine. GPUs come from nvidia-smi and obey CUDA_VISIBLE_DEVICES."""
    import psutil

    memory = psutil.virtual_memory()
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    mps = platform.system() == "Darwin" and platform.machine() == "arm64"
    limit = _container_limit()
    total, free = (min(memory.total, limit), min(memory.available, limit)) if limit else (memory.total, memory.available)
    return Machine(cpus, total, free, _gpus(), mps)


def _container_limit() -> int | None:
    """The memory limit of this container (cgroup v2), if any: going over it is an out-of-memory kill."""
    try:
        text = open("/sys/fs/cgroup/memory.max", encoding="ascii").read().strip()
    except OSError:
        return None
    return None if text == "max" else int(text)


def _gpus() -> tuple[Gpu, ...]:
    command = shutil.which("nvidia-smi")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if command is None or visible in ("", "-1"):
        return ()
    query = ["--query-gpu=index,uuid,name,memory.total,memory.free", "--format=csv,noheader,nounits"]
    try:
        text = subprocess.run([command, *query], capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    found = {}
    for line in text.splitlines():
        index, uuid, name, total, free = (part.strip() for part in line.split(",", 4))
        found[index] = found[uuid] = Gpu(index, name, int(total) * 2**20, int(free) * 2**20)
    if visible is None:
        return tuple(dict.fromkeys(found.values()))
    return tuple(found[v.strip()] for v in visible.split(",") if v.strip() in found)
