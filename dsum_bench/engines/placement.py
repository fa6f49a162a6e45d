"""Where a model goes on this machine, in which dtype and quantisation. Pure arithmetic, no torch."""

from __future__ import annotations

from dsum_bench.engines.processor import multiplies_bytes
from dsum_bench.errors import ModelSkipped
from dsum_bench.figures import size
from dsum_bench.machine import Gpu, Machine
from dsum_bench.spec import Dtype, Placement, Quantization

GIB = 2**30

BYTES_PER_WEIGHT = {"float32": 4.0, "bfloat16": 2.0, "float16": 2.0}
QUANTIZED_BYTES_PER_WEIGHT = {"nf4": 0.7, "int8": 1.2}
"""Embeddings and the output layer stay in 16 bits, so a 4-bit model takes more than half a byte a weight:
Llama-3.2-3B in NF4 with double quantisation is 0.394e9 x 2 + 2.82e9 x 0.52 = 2.25e9 bytes, 0.70 a weight. In int8 on a
CPU a weight is a byte, an embedding that the output layer shares two: SmolLM2-135M is 106e6 + 2 x 28e6, 1.21 each."""

SHARE = 0.9
"""Of the free memory; the rest is left to the allocator and to others."""


def needs_bytes(params: int, dtype: str, quantization: str, working: int = 0) -> int:
    """Estimate of weights plus working space: a fifth of the weights, at least 0.7 GiB and what one prompt needs.

    working: KV cache and scores of one prompt with all its beams, where the configuration tells; larger batches take
    what is free beyond it.
    """
    each = QUANTIZED_BYTES_PER_WEIGHT.get(quantization) or BYTES_PER_WEIGHT[dtype]
    weights = params * each
    return int(weights + max(0.2 * weights, 0.7 * GIB + working))


def place(
    params: int | None, dtype: Dtype, quantization: Quantization, machine: Machine, working: int = 0
) -> Placement:
    """Choose device, dtype and quantisation. working: as for ``needs_bytes``.

    On a GPU: 16 bits where they fit (that screens faster than 4 bits), else NF4. On the CPU: float32 where it
    fits, else int8, or bfloat16 where the processor does not multiply bytes. A model of unknown size is taken to fit.

    Raises:
        ModelSkipped: when it does not fit, with the figures.
    """
    if machine.gpus:
        return _on_gpu(params, dtype, quantization, max(machine.gpus, key=lambda g: g.free_bytes), working)
    return _on_cpu(params, dtype, quantization, machine, working)


def _on_gpu(params: int | None, dtype: Dtype, quantization: Quantization, gpu: Gpu, working: int) -> Placement:
    half = "bfloat16" if gpu.compute >= 8.0 else "float16"
    chosen = half if dtype == "auto" else dtype
    wanted = ["none", "nf4"] if quantization == "auto" else [quantization]
    free = int(gpu.free_bytes * SHARE)
    what = f"{gpu.name}, {size(gpu.free_bytes)} free"
    return _first_fit(params, [(chosen, q) for q in wanted], free, "cuda:0", what, working)


def _on_cpu(params: int | None, dtype: Dtype, quantization: Quantization, machine: Machine, working: int) -> Placement:
    free = int(machine.free_bytes * SHARE)
    what = f"CPU, {size(machine.free_bytes)} free"
    return _first_fit(params, _choices_on_cpu(dtype, quantization), free, "cpu", what, working)


def _choices_on_cpu(dtype: Dtype, quantization: Quantization) -> list[tuple[str, str]]:
    if quantization == "int8":
        return [("float32", "int8")]  # what is not a product is in float32
    dtypes = ["float32", "bfloat16"] if dtype == "auto" else [dtype]
    if quantization == dtype == "auto" and multiplies_bytes():
        return [("float32", "none"), ("float32", "int8")]
    return [(d, "none" if quantization == "auto" else quantization) for d in dtypes]


def _first_fit(
    params: int | None, choices: list[tuple[str, str]], free: int, device: str, what: str, working: int
) -> Placement:
    for dtype, quantization in choices:
        needs = needs_bytes(params or 0, dtype, quantization, working)
        if params is None or needs <= free:
            about = f"needs about {size(needs)}" if params else "size unknown"
            return Placement(device, dtype, quantization, f"{about}; {what}", needs if params else 0)
    dtype, quantization = choices[-1]
    least = needs_bytes(params or 0, dtype, quantization, working)
    kind = dtype if quantization == "none" else quantization
    raise ModelSkipped(f"needs about {size(least)} of memory in {kind}; {what}")
