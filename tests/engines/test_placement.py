"""Where models go: figures from known models and machines."""

from __future__ import annotations

from pathlib import Path

import pytest

from dsum_bench.engines import placement
from dsum_bench.engines.placement import needs_bytes, place
from dsum_bench.engines.processor import multiplies_bytes
from dsum_bench.errors import ModelSkipped
from dsum_bench.machine import Gpu, Machine

GB = 10**9
LAPTOP = Machine(8, 16 * GB, 12 * GB)


def with_gpu(free: int, compute: float = 8.6) -> Machine:
    return Machine(8, 64 * GB, 48 * GB, (Gpu("0", "A card", compute, 24 * GB, free),))


def test_sixteen_bits_where_they_fit_else_four() -> None:
    three = place(3_210_000_000, "auto", "auto", with_gpu(23 * GB))
    assert (three.device, three.dtype, three.quantization) == ("cuda:0", "bfloat16", "none")
    eight = place(8_030_000_000, "auto", "auto", with_gpu(16 * GB))
    assert (eight.dtype, eight.quantization) == ("bfloat16", "nf4")
    assert eight.needs_bytes <= 16 * GB


def test_an_old_card_has_no_bfloat16() -> None:
    assert place(3_210_000_000, "auto", "auto", with_gpu(15 * GB, 7.5)).dtype == "float16"


def test_too_big_is_skipped_with_the_figures(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ModelSkipped, match=r"needs about 9\.0 GB of memory in nf4; A card, 6\.0 GB free"):
        place(10_700_000_000, "auto", "auto", with_gpu(6 * GB))
    monkeypatch.setattr(placement, "multiplies_bytes", lambda: False)
    with pytest.raises(ModelSkipped, match=r"needs about 25\.7 GB of memory in bfloat16; CPU, 12\.0 GB free"):
        place(10_700_000_000, "auto", "auto", LAPTOP)
    monkeypatch.setattr(placement, "multiplies_bytes", lambda: True)
    with pytest.raises(ModelSkipped, match=r"needs about 15\.4 GB of memory in int8; CPU, 12\.0 GB free"):
        place(10_700_000_000, "auto", "auto", LAPTOP)


def test_the_cpu_takes_float32_where_it_fits_else_what_it_computes_fast(monkeypatch: pytest.MonkeyPatch) -> None:
    four = 4_000_000_000
    monkeypatch.setattr(placement, "multiplies_bytes", lambda: False)
    assert place(135_000_000, "auto", "auto", LAPTOP).dtype == "float32"
    assert (place(four, "auto", "auto", LAPTOP).dtype, place(four, "auto", "auto", LAPTOP).quantization) == (
        "bfloat16",
        "none",
    )
    monkeypatch.setattr(placement, "multiplies_bytes", lambda: True)
    assert place(135_000_000, "auto", "auto", LAPTOP).quantization == "none"
    found = place(four, "auto", "auto", LAPTOP)
    assert (found.dtype, found.quantization) == ("float32", "int8")
    assert place(four, "bfloat16", "auto", LAPTOP).quantization == "none"
    assert place(135_000_000, "auto", "int8", LAPTOP).dtype == "float32"
    assert place(135_000_000, "auto", "auto", LAPTOP).quantization == "none"
    assert place(135_000_000, "float32", "nf4", LAPTOP).quantization == "nf4"


def test_the_card_with_most_free_memory_decides() -> None:
    cards = (Gpu("0", "full", 8.0, 24 * GB, 2 * GB), Gpu("1", "free", 8.0, 24 * GB, 20 * GB))
    assert "free, 20.0 GB free" in place(3_210_000_000, "auto", "auto", Machine(8, GB, GB, cards)).reason


def test_an_unknown_size_is_tried() -> None:
    assert place(None, "auto", "auto", with_gpu(GB)).reason.startswith("size unknown")


def test_the_estimate_covers_a_published_figure() -> None:
    # Llama-3-8B weights in bfloat16 are 16.06 GB on disk.
    assert 16.06 * GB < needs_bytes(8_030_000_000, "bfloat16", "none") < 1.25 * 16.06 * GB


@pytest.mark.parametrize(
    ("flags", "expected"),
    [("fpu avx512f avx512_vnni", True), ("fpu avx2 avx_vnni", True), ("fpu avx2 avx512f", False), ("", False)],
)
def test_a_processor_that_multiplies_bytes_says_so(flags: str, expected: bool, tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text(f"processor\t: 0\nmodel name\t: A processor\nflags\t\t: {flags}\n\n", encoding="utf-8")
    assert multiplies_bytes(file) is expected
    assert not multiplies_bytes(tmp_path / "missing")
