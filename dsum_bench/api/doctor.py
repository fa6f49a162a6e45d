"""What this machine can do, and what is in the way."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from dsum_bench.errors import UserError

if TYPE_CHECKING:
    from dsum_bench.executors.base import Executor
    from dsum_bench.plugins import Plugins
    from dsum_bench.registry.load import Registry

Verdict = Literal["ok", "missing", "broken"]
PACKAGES = ("torch", "transformers", "peft", "accelerate", "sqlite-utils", "pandas")
OPTIONAL = ("flash-attn", "rouge-score", "python-mecab-ko", "hf-xet")


@dataclass(frozen=True, slots=True)
class Diagnosis:
    """What was asked, how it stands, and in words. missing: not needed for the main job; broken: needed."""

    about: str
    verdict: Verdict
    text: str


def examine(plugins: Plugins, database: Path) -> Iterator[Diagnosis]:
    """What this machine can do: packages, GPU, memory, disk, hub, tokenizers of metrics, plugins, results."""
    yield Diagnosis("python", "ok", f"{platform.python_version()}, {platform.system()} {platform.machine()}")
    yield from _packages()
    yield from _machine(database)
    yield _hub()
    yield from _tokenizers(plugins)
    plugins.collect_all()
    for info in plugins.info.values():
        if info.problem:
            yield Diagnosis("plugin", "broken", f"{info.name}: {info.problem}")
    yield _results(database)


def _packages() -> Iterator[Diagnosis]:
    for name in PACKAGES:
        found = _version(name)
        yield Diagnosis(name, "ok" if found else "broken", found or f"not installed: pip install {name}")
    yield _bitsandbytes()
    for name in OPTIONAL:
        found = _version(name)
        if found:
            yield Diagnosis(name, "ok", found)
        else:
            yield Diagnosis(name, "missing", "not installed; optional")


def _bitsandbytes() -> Diagnosis:
    import logging

    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it speaks of kernels that it can do without
    try:  # being installed says little of a package that brings compiled code
        import bitsandbytes
    except Exception as error:
        return Diagnosis("bitsandbytes", "broken", f"cannot be imported ({error}): no nf4, no int8, no qlora")
    return Diagnosis("bitsandbytes", "ok", str(bitsandbytes.__version__))


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _machine(database: Path) -> Iterator[Diagnosis]:
    from dsum_bench.figures import size
    from dsum_bench.machine import detect

    machine = detect()
    free, total = size(machine.free_bytes), size(machine.total_bytes)
    yield Diagnosis("memory", "ok", f"{free} free of {total}, {machine.cpus} CPU cores")
    for gpu in machine.gpus:
        kind = "bfloat16" if gpu.compute >= 8.0 else "float16 only"
        told = f"{gpu.name}, {size(gpu.free_bytes)} free of {size(gpu.total_bytes)}, compute {gpu.compute}, {kind}"
        yield Diagnosis(f"gpu {gpu.index}", "ok", told)
    yield _cuda(bool(machine.gpus))
    folder = next(p for p in (database.parent.absolute(), *database.absolute().parents) if p.is_dir())
    disk = shutil.disk_usage(folder)
    yield Diagnosis(
        "disk", "ok" if disk.free > 1e9 else "broken", f"{size(disk.free)} free of {size(disk.total)} at {folder}"
    )


def _cuda(seen: bool) -> Diagnosis:
    if find_spec("torch") is None:
        return Diagnosis("cuda", "broken", "torch is not installed")
    import torch

    if torch.cuda.is_available():
        return Diagnosis("cuda", "ok", f"torch works with CUDA {torch.version.cuda}")
    if seen:
        return Diagnosis(
            "cuda",
            "broken",
            f"a GPU is present, but torch {torch.__version__} cannot use it: install a CUDA build of torch",
        )
    return Diagnosis("cuda", "missing", "no GPU: small models run on the CPU, large ones are skipped")


def _hub() -> Diagnosis:
    from dsum_bench.engines import hub

    reason = hub.unreachable()
    if reason:
        return Diagnosis("hub", "missing", f"{reason}: cached models and local folders still work")
    from huggingface_hub import get_token

    return Diagnosis(
        "hub", "ok", "reachable, " + ("with a token" if get_token() else "without a token: no gated models")
    )


def _tokenizers(plugins: Plugins) -> Iterator[Diagnosis]:
    from dsum_bench.store.reader import DEFAULT_METRIC

    needed = DEFAULT_METRIC.partition("@")[2]
    for name, tokenizer in plugins.tokenizers.items():
        opened: Callable[[], object] = tokenizer
        try:
            opened()
            yield Diagnosis(f"tokens {name}", "ok", tokenizer().signature)
        except Exception as error:  # a tokenizer may be a plugin
            yield Diagnosis(f"tokens {name}", "broken" if name == needed else "missing", str(error))


def _results(database: Path) -> Diagnosis:
    from dsum_bench.store import faults, reader

    try:
        with reader.reading(database) as db:
            wrong = faults.damage(db)
        if wrong:
            raise faults.damaged(database, wrong)
        boards = reader.boards(database)
    except UserError as error:
        there = database.exists()
        return Diagnosis("results", "broken" if there and "no results" not in str(error) else "ok", str(error))
    return Diagnosis("results", "ok", f"{sum(len(b.rows) for b in boards)} ranked runs in {database}")


def nodes(executor: Executor) -> Iterator[Diagnosis]:
    """The machines that an executor would use; where none of them can be used, that is said too."""
    try:
        found = executor.nodes()
    except UserError as error:
        yield Diagnosis(f"executor {executor.name}", "broken", str(error))
        return
    for node in found:
        yield Diagnosis(f"node {node.name}", "ok" if node.usable else "broken", node.text)
    if not found:
        yield Diagnosis(f"executor {executor.name}", "ok", "it uses only this machine: see `dsum-bench doctor`")


def verified(
    registry: Registry, plugins: Plugins, database: Path, progress: Callable[[int, int], None]
) -> Iterator[Diagnosis]:
    """Every stored ROUGE score against the package it stands for. progress: called with runs done and their number."""
    from dsum_bench.screening.verify import PAIRS, verify

    for found in verify(database, registry, plugins, progress):
        about = f"{found.model} {found.metric}"
        if found.problem:
            yield Diagnosis(about, "missing", f"not verified: {found.problem}")
            continue
        told = f"{found.agree} samples agree with the package"
        told += f", {found.differ} differ" if found.differ else ""
        told += f", {found.ours} are defined here since it gives no value" if found.ours else ""
        told += f", {found.long} are too long for it (over {PAIRS:,} pairs of tokens)" if found.long else ""
        yield Diagnosis(about, "broken" if found.differ else "ok", told)
