"""What this machine has, found without importing torch and without opening a GPU context."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

CGROUPS, OWN_CGROUP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
ELSEWHERE = ("/usr/local/nvidia/bin", "/usr/lib/wsl/lib")
"""Where containers and WSL have nvidia-smi, which need not be on the path."""
UNLIMITED = 1 << 60
"""How cgroups of version 1 write that there is no limit: a number of about this size."""


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
    total, free = memory.total, memory.available
    for limit, used in container_limits():
        total, free = min(total, limit), min(free, max(0, limit - used))
    return Machine(cpus, total, free, _gpus())


def container_limits(root: Path = CGROUPS, own: Path = OWN_CGROUP) -> list[tuple[int, int]]:
    """Memory limits of the control groups that this process is in, each with what is used of it, in bytes.

    Going over one is an out-of-memory kill, whatever else the machine has free. Pages of files that the kernel can drop
    are not counted as used. Both versions of cgroups are read; the groups above the own one limit it too.
    """
    try:
        lines = own.read_text(encoding="utf-8").splitlines()
    except OSError:
        return []
    found = []
    for line in lines:
        _, controllers, path = line.split(":", 2)
        if controllers == "":
            names, base = ("memory.max", "memory.current", "inactive_file"), root
        elif "memory" in controllers.split(","):
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            base = root / "memory"
        else:
            continue
        # In a container the path may be that of the host, while what is mounted is the own group alone.
        inside = Path(path.lstrip("/"))
        for group in dict.fromkeys([*(base / p for p in (inside, *inside.parents)), base]):
            if (limit := _limit(group, *names)) is not None:
                found.append(limit)
    return found


def _limit(group: Path, limit: str, used: str, dropped: str) -> tuple[int, int] | None:
    try:
        allowed = (group / limit).read_text(encoding="ascii").strip()
        if allowed == "max" or int(allowed) >= UNLIMITED:
            return None
        taken = int((group / used).read_text(encoding="ascii"))
        stat = dict(line.split() for line in (group / "memory.stat").read_text(encoding="ascii").splitlines())
        return int(allowed), max(0, taken - int(stat.get(dropped, 0)))
    except (OSError, ValueError):
        return None


def _gpus() -> tuple[Gpu, ...]:
    command = shutil.which("nvidia-smi") or shutil.which("nvidia-smi", path=os.pathsep.join(ELSEWHERE))
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
        with suppress(ValueError):  # a figure that it cannot tell is "[N/A]", and what it warns of has no commas
            index, uuid, name, compute, total, free = (part.strip() for part in line.split(",", 5))
            found[index] = found[uuid] = Gpu(index, name, float(compute), int(total) * 2**20, int(free) * 2**20)
    if visible is None:
        return tuple(dict.fromkeys(found.values()))
    named = (next((n for n in found if n == v or (v.startswith("GPU-") and n.startswith(v))), None) for v in
             (part.strip() for part in visible.split(",")))  # fmt: skip
    return tuple(dict.fromkeys(found[n] for n in named if n is not None))
