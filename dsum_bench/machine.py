"""What this machine has, found without importing torch and without opening a GPU context."""

from __future__ import annotations

import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Gpu:
    """One CUDA device. index: its number for CUDA_VISIBLE_DEVICES. compute: capability, 8.0 and up has bfloat16.
    Sizes in bytes."""

    index: str
    name: str
    compute: float
    total_bytes: int
    free_bytes: int


@dataclass(frozen=True, slots=True)
class Machine:
    """Sizes in bytes."""

    cpus: int
    total_bytes: int
    free_bytes: int
    gpus: tuple[Gpu, ...] = ()


def detect() -> Machine:
    """Look at this machine. GPUs come from nvidia-smi and obey CUDA_VISIBLE_DEVICES."""
    import psutil

    memory = psutil.virtual_memory()
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = _container_limit() or memory.total
    return Machine(cpus, min(memory.total, limit), min(memory.available, limit), _gpus())


def _container_limit() -> int | None:
    """The memory limit of this container (cgroup v2), if any: going over it is an out-of-memory kill."""
    try:
        text = Path("/sys/fs/cgroup/memory.max").read_text(encoding="ascii").strip()
    except OSError:
        return None
    return None if text == "max" else int(text)


def _gpus() -> tuple[Gpu, ...]:
    command = shutil.which("nvidia-smi")
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if command is None or visible in ("", "-1"):
        return ()
    query = ["--query-gpu=index,uuid,name,compute_cap,memory.total,memory.free", "--format=csv,noheader,nounits"]
    try:
        text = subprocess.run([command, *query], capture_output=True, text=True, timeout=10, check=True).stdout
    except (OSError, subprocess.SubprocessError):
        return ()
    found = {}
    for line in text.splitlines():
        index, uuid, name, compute, total, free = (part.strip() for part in line.split(",", 5))
        found[index] = found[uuid] = Gpu(index, name, float(compute), int(total) * 2**20, int(free) * 2**20)
    if visible is None:
        return tuple(dict.fromkeys(found.values()))
    return tuple(found[v.strip()] for v in visible.split(",") if v.strip() in found)
