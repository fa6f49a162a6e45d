"""Weights in a mapped file: their memory is given back, and their values are there whenever they are read again."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="tells of mapped memory on Linux only")


def resident(tensor: Any) -> int:
    """Bytes of the mapping around a tensor that are in memory, as the system counts them."""
    found, inside = 0, False
    for line in Path("/proc/self/smaps").read_text(encoding="utf-8").splitlines():
        head = line.split()
        if "-" in head[0] and ":" not in head[0]:
            low, high = (int(part, 16) for part in head[0].split("-"))
            inside = low <= tensor.data_ptr() < high
        elif inside and head[0] == "Rss:":
            found += int(head[1]) * 1024
    return found


def test_memory_of_a_mapped_tensor_is_given_back(tmp_path: Path) -> None:
    import torch
    from safetensors import safe_open
    from safetensors.torch import save_file

    from dsum_bench.engines.mapping import let_go

    values = torch.arange(4_000_000, dtype=torch.float32)
    save_file({"first": values, "second": values + 1}, tmp_path / "weights.safetensors")
    with safe_open(tmp_path / "weights.safetensors", framework="pt") as file:
        first, second = file.get_tensor("first"), file.get_tensor("second")
    assert torch.equal(first + 1, second)
    before = resident(first)
    assert before >= 2 * values.nbytes
    let_go(first)
    assert resident(first) <= before - 0.99 * values.nbytes
    assert torch.equal(first, values) and torch.equal(second, values + 1)


def test_a_tensor_elsewhere_keeps_its_values() -> None:
    import torch

    from dsum_bench.engines.mapping import let_go

    values = torch.arange(4_000_000, dtype=torch.float32)
    for tensor in (values, values[100:2_000_000], values.view(2000, 2000).T, torch.empty(0)):
        let_go(tensor)
    assert torch.equal(values, torch.arange(4_000_000, dtype=torch.float32))
