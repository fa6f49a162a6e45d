"""What a machine has: the limits of its control groups count, not only its memory."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dsum_bench.machine import container_limits, detect

GIB = 1 << 30


def group(folder: Path, limit: str, used: int, droppable: int, version: int = 2) -> None:
    """The files of a control group, as the kernel's documentation has them."""
    folder.mkdir(parents=True, exist_ok=True)
    names = ("memory.max", "memory.current", "inactive_file")
    if version == 1:
        names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
    (folder / names[0]).write_text(f"{limit}\n", encoding="ascii")
    (folder / names[1]).write_text(f"{used}\n", encoding="ascii")
    (folder / "memory.stat").write_text(f"anon 5\n{names[2]} {droppable}\n", encoding="ascii")


def test_what_a_group_has_used_is_not_free(tmp_path: Path) -> None:
    group(tmp_path / "docker/x", str(8 * GIB), 5 * GIB, GIB)
    own = tmp_path / "own"
    own.write_text("0::/docker/x\n", encoding="ascii")
    assert container_limits(tmp_path, own) == [(8 * GIB, 4 * GIB)]


def test_the_groups_above_limit_too(tmp_path: Path) -> None:
    group(tmp_path / "slurm/job/step", "max", GIB, 0)
    group(tmp_path / "slurm/job", str(16 * GIB), 3 * GIB, 0)
    group(tmp_path / "slurm", str(64 * GIB), 60 * GIB, 0)
    own = tmp_path / "own"
    own.write_text("0::/slurm/job/step\n", encoding="ascii")
    assert container_limits(tmp_path, own) == [(16 * GIB, 3 * GIB), (64 * GIB, 60 * GIB)]


def test_in_a_container_the_own_group_is_what_is_mounted(tmp_path: Path) -> None:
    """With cgroups of version 1, Docker shows the host's path while only the container's group is mounted."""
    group(tmp_path / "memory", str(2 * GIB), GIB, GIB // 2, version=1)
    own = tmp_path / "own"
    own.write_text("5:devices:/docker/x\n4:cpu,memory:/docker/x\n0::/\n", encoding="ascii")
    assert container_limits(tmp_path, own) == [(2 * GIB, GIB // 2)]


def test_no_limit_is_none(tmp_path: Path) -> None:
    group(tmp_path / "memory", str(2**63 - 4096), GIB, 0, version=1)
    group(tmp_path, "max", GIB, 0)
    own = tmp_path / "own"
    own.write_text("4:memory:/\n0::/\n", encoding="ascii")
    assert container_limits(tmp_path, own) == []
    assert container_limits(tmp_path, tmp_path / "there-is-none") == []


def test_the_plan_of_a_machine_counts_the_tightest_limit(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dsum_bench.machine.container_limits", lambda: [(3 << 20, 1 << 20), (1 << 62, 0)])
    machine = detect()
    assert machine.total_bytes == 3 << 20 and machine.free_bytes == 2 << 20
    monkeypatch.setattr("dsum_bench.machine.container_limits", lambda: [(3 << 20, 4 << 20)])
    assert detect().free_bytes == 0


def test_this_machine_has_what_the_system_says() -> None:
    whole = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    machine = detect()
    assert 0 < machine.free_bytes <= machine.total_bytes <= whole


SMI = """#!/bin/sh
cat <<'END'
0, GPU-5d1f0000-aa, NVIDIA H100 80GB HBM3, 9.0, 81559, 80995
1, GPU-77ab0000-bb, Tesla T4, 7.5, 15360, 15000
2, GPU-90cd0000-cc, NVIDIA GB10, 12.1, [N/A], [N/A]
Unable to determine the device handle for GPU 3: Unknown Error
END
"""


@pytest.mark.parametrize(
    ("visible", "seen"),
    [(None, "01"), ("1", "1"), ("1,0", "10"), ("GPU-77ab", "1"), ("GPU-5d1f0000-aa", "0"), ("", ""), ("-1", "")],
)
def test_gpus_are_those_that_nvidia_smi_has_figures_of_and_that_are_visible(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, visible: str | None, seen: str
) -> None:
    (tmp_path / "nvidia-smi").write_text(SMI)
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    if visible is not None:
        monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    gpus = detect().gpus
    assert "".join(gpu.index for gpu in gpus) == seen
    assert all(gpu.total_bytes == {"0": 81559, "1": 15360}[gpu.index] << 20 for gpu in gpus)


def test_nvidia_smi_is_found_off_the_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "nvidia-smi").write_text(SMI)
    (tmp_path / "nvidia-smi").chmod(0o755)
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    monkeypatch.setattr("dsum_bench.machine.ELSEWHERE", (str(tmp_path),))
    assert [gpu.compute for gpu in detect().gpus] == [9.0, 7.5]
