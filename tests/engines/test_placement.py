"""Where models go: figures from known models and machines."""

from __future__ import annotations

import pytest

from dsum_bench.engines.placement import needs_bytes, place
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


def test_too_big_is_skipped_with_the_figures() -> None:
    with pytest.raises(ModelSkipped, match=r"needs about 9\.0 GB of memory in nf4; A card, 6\.0 GB free"):
        place(10_700_000_000, "auto", "auto", with_gpu(6 * GB))
    with pytest.raises(ModelSkipped, match=r"needs about 25\.7 GB of memory in bfloat16; CPU, 12\.0 GB free"):
        place(10_700_000_000, "auto", "auto", LAPTOP)


def test_the_cpu_takes_float32_where_it_fits() -> None:
    assert place(135_000_000, "auto", "auto", LAPTOP).dtype == "float32"
    assert place(4_000_000_000, "auto", "auto", LAPTOP).dtype == "bfloat16"
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
