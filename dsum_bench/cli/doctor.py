"""``dsum-bench doctor``: what this machine can do, and what is in the way."""

from __future__ import annotations

import platform
import shutil
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import click

from dsum_bench.cli.options import json_option, plugin_option, registry_option, results_option
from dsum_bench.errors import UserError

if TYPE_CHECKING:
    from dsum_bench.cli.session import Session

Verdict = Literal["ok", "missing", "broken"]
PACKAGES = ("torch", "transformers", "peft", "accelerate", "sqlite-utils", "pandas")
OPTIONAL = ("flash-attn", "rouge-score", "python-mecab-ko", "hf-xet")
COLOURS = {"ok": "green", "missing": "yellow", "broken": "bold red"}


@dataclass(frozen=True, slots=True)
class Answer:
    """What was asked, how it stands, and in words. missing: not needed for the main job; broken: needed."""

    about: str
    verdict: Verdict
    text: str


@click.command(short_help="Say what this machine can do.")
@click.option("--verify-metrics", is_flag=True, help="Compute every stored ROUGE score again with the packages.")
@registry_option
@plugin_option
@results_option
@json_option
@click.pass_context
def doctor(
    context: click.Context,
    /,
    verify_metrics: bool,
    registry: tuple[Path, ...],
    plugin: tuple[str, ...],
    database: Path,
    as_json: bool,
) -> None:
    """Say what this machine can do: packages, GPU, memory, disk, hub, tokenizers of metrics, plugins, results.

    Exit code: 0 all that is needed works, 1 something needed is broken, or a stored score differs.
    """
    from dsum_bench.cli.session import Session

    session = Session.open(registry, plugin)
    answers = list(_verified(session, database) if verify_metrics else _examined(session, database))
    if as_json:
        from dsum_bench.cli.formatting import print_json

        print_json([asdict(answer) for answer in answers])
    else:
        _print(session, answers)
    context.exit(int(any(answer.verdict == "broken" for answer in answers)))


def _examined(session: Session, database: Path) -> Iterator[Answer]:
    yield Answer("python", "ok", f"{platform.python_version()}, {platform.system()} {platform.machine()}")
    yield from _packages()
    yield from _machine(database)
    yield _hub()
    yield from _tokenizers(session)
    session.plugins.collect_all()
    for info in session.plugins.info.values():
        if info.problem:
            yield Answer("plugin", "broken", f"{info.name}: {info.problem}")
    yield _results(database)


def _packages() -> Iterator[Answer]:
    for name in PACKAGES:
        found = _version(name)
        yield Answer(name, "ok" if found else "broken", found or f"not installed: pip install {name}")
    yield _bitsandbytes()
    for name in OPTIONAL:
        found = _version(name)
        if found:
            yield Answer(name, "ok", found)
        else:
            yield Answer(name, "missing", "not installed; optional")


def _bitsandbytes() -> Answer:
    import logging

    logging.getLogger("bitsandbytes").setLevel(logging.ERROR)  # it speaks of kernels that it can do without
    try:  # being installed says little of a package that brings compiled code
        import bitsandbytes
    except Exception as error:
        return Answer("bitsandbytes", "broken", f"cannot be imported ({error}): no nf4, no int8, no qlora")
    return Answer("bitsandbytes", "ok", str(bitsandbytes.__version__))


def _version(name: str) -> str:
    try:
        return version(name)
    except PackageNotFoundError:
        return ""


def _machine(database: Path) -> Iterator[Answer]:
    from dsum_bench.engines.placement import size
    from dsum_bench.machine import detect

    machine = detect()
    free, total = size(machine.free_bytes), size(machine.total_bytes)
    yield Answer("memory", "ok", f"{free} free of {total}, {machine.cpus} CPU cores")
    for gpu in machine.gpus:
        kind = "bfloat16" if gpu.compute >= 8.0 else "float16 only"
        told = f"{gpu.name}, {size(gpu.free_bytes)} free of {size(gpu.total_bytes)}, compute {gpu.compute}, {kind}"
        yield Answer(f"gpu {gpu.index}", "ok", told)
    yield _cuda(bool(machine.gpus))
    folder = next(p for p in (database.parent.absolute(), *database.absolute().parents) if p.is_dir())
    disk = shutil.disk_usage(folder)
    yield Answer(
        "disk", "ok" if disk.free > 1e9 else "broken", f"{size(disk.free)} free of {size(disk.total)} at {folder}"
    )


def _cuda(seen: bool) -> Answer:
    if find_spec("torch") is None:
        return Answer("cuda", "broken", "torch is not installed")
    import torch

    if torch.cuda.is_available():
        return Answer("cuda", "ok", f"torch works with CUDA {torch.version.cuda}")
    if seen:
        return Answer(
            "cuda", "broken", f"there is a GPU, but torch {torch.__version__} cannot use it: install its CUDA build"
        )
    return Answer("cuda", "missing", "no GPU: small models run on the CPU, large ones are skipped")


def _hub() -> Answer:
    from dsum_bench.engines import hub

    reason = hub.unreachable()
    if reason:
        return Answer("hub", "missing", f"{reason}: cached models and local folders still work")
    from huggingface_hub import get_token

    return Answer("hub", "ok", "reachable, " + ("with a token" if get_token() else "without a token: no gated models"))


def _tokenizers(session: Session) -> Iterator[Answer]:
    from dsum_bench.store.reader import DEFAULT_METRIC

    needed = DEFAULT_METRIC.partition("@")[2]
    for name, tokenizer in session.plugins.tokenizers.items():
        opened: Callable[[], object] = tokenizer
        try:
            opened()
            yield Answer(f"tokens {name}", "ok", tokenizer().signature)
        except Exception as error:  # a tokenizer may be a plugin
            yield Answer(f"tokens {name}", "broken" if name == needed else "missing", str(error))


def _results(database: Path) -> Answer:
    from dsum_bench.store import reader

    try:
        boards = reader.boards(database)
    except UserError as error:
        there = database.exists()
        return Answer("results", "broken" if there and "no results" not in str(error) else "ok", str(error))
    return Answer("results", "ok", f"{sum(len(b.rows) for b in boards)} ranked runs in {database}")


def _verified(session: Session, database: Path) -> Iterator[Answer]:
    from dsum_bench.cli.progress import counted
    from dsum_bench.screening.verify import PAIRS, verify

    with counted("runs verified") as progress:
        for found in verify(database, session.registry, session.plugins, progress):
            about = f"{found.model} {found.metric}"
            if found.problem:
                yield Answer(about, "missing", f"not verified: {found.problem}")
                continue
            told = f"{found.agree} samples agree with the package"
            told += f", {found.differ} differ" if found.differ else ""
            told += f", {found.ours} are defined here since it gives no value" if found.ours else ""
            told += f", {found.long} are too long for it (over {PAIRS:,} pairs of tokens)" if found.long else ""
            yield Answer(about, "broken" if found.differ else "ok", told)


def _print(session: Session, answers: list[Answer]) -> None:
    from rich.table import Table

    from dsum_bench.cli.formatting import literal

    table = Table.grid(padding=(0, 1))
    table.add_column(overflow="fold", max_width=34)
    table.add_column(no_wrap=True)
    table.add_column(overflow="fold")
    for answer in answers:
        table.add_row(literal(answer.about), literal(answer.verdict, COLOURS[answer.verdict]), literal(answer.text))
    session.console().print(table)
