"""``dsum-bench predict``: a model's summaries of a split as a file, references or not."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from dsum_bench.cli.options import plugin_option, registry_option, results_option
from dsum_bench.datasets.csv_text import csv_text
from dsum_bench.errors import UserError, suggestion
from dsum_bench.executors.base import HANG_TIMEOUT
from dsum_bench.spec import PromptFormat
from dsum_bench.store import reader
from dsum_bench.store.records import SampleRecord

if TYPE_CHECKING:
    from dsum_bench.cli.screen import ScreenOptions
    from dsum_bench.cli.session import Session
    from dsum_bench.registry.load import Registry

UNASKED: dict[str, Any] = {
    "all_models": False, "sample": None, "metrics": (), "device": "auto", "dtype": None, "quantization": None,
    "time_budget": None, "hang_timeout": HANG_TIMEOUT, "executor": "local", "dialogues": True, "fresh": False,
    "free_cache": False, "dry_run": False, "as_json": False,
}  # fmt: skip
"""What ``screen`` has options for and this command has not."""


@click.command(short_help="Write a model's summaries of a split to a file.")
@click.argument("name", metavar="MODEL|RUN")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path, dir_okay=False), required=True, help="New .csv or .jsonl file."
)
@click.option("--dataset", default="samples-ko", show_default=True, help="Dataset of the registry.")
@click.option("--split", help="Split of the dataset  [default: the dataset's own]")
@click.option("--limit", type=click.IntRange(min=1), help="Only the first N samples.")
@click.option("--seed", default=42, show_default=True, help="For sampling strategies.")
@click.option("--prompt", help="Prompt of the registry.")
@click.option("--prompt-format", type=click.Choice(get_args(PromptFormat)), default="template", show_default=True)
@click.option("--decoding", help="Decoding of the registry.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change a parameter of the decoding.")
@click.option("--index", is_flag=True, help="Number the rows in a first CSV column without a name, as pandas does.")
@registry_option
@plugin_option
@results_option
@click.pass_context
def predict(
    context: click.Context,
    /,
    name: str,
    output: Path,
    index: bool,
    database: Path,
    registry: tuple[Path, ...],
    plugin: tuple[str, ...],
    **typed: Any,
) -> None:
    """Let MODEL summarise a split, which needs no references, and write the summaries to a file.

    What is there already is not generated again, so that a broken-off call goes on. With RUN, a stored run's key or
    its beginning, its summaries are written and nothing is generated; the options that choose data and prompt do not
    count then.

    Exit code: 0 written, 1 not all samples could be summarised and nothing was written, 2 wrong usage or input.
    """
    from dsum_bench.cli.screen import ScreenOptions
    from dsum_bench.cli.session import Session

    if output.suffix not in (".csv", ".jsonl"):
        raise UserError(f"--output {output}: the name must end in .csv or .jsonl")
    if output.exists():
        raise UserError(f"{output} is there already; move it away or choose another --output")
    if not output.absolute().parent.is_dir():
        raise UserError(f"folder {output.parent} of --output does not exist")
    session = Session.open(registry, plugin, database.parent)
    if name in session.registry.models:
        name = _generate(ScreenOptions(models=(name,), **typed, **UNASKED), session, database)
        if not name:
            context.exit(1)
    elif not database.exists():
        raise UserError(f"unknown model '{name}'{suggestion(name, session.registry.models)}")
    record = reader.run(database, name)
    if record.row.status != "done":
        raise UserError(f"run {record.row.run_id} is not finished ({record.row.status}); screen its model again first")
    rows = reader.samples(database, record.row.run_id)
    columns = _columns(session.registry, record.dataset)
    _write(output, _lines(rows, columns) if output.suffix == ".jsonl" else _table(rows, columns, index))
    click.echo(f"{len(rows)} summaries of {record.row.model} written to {output}")


def _generate(choices: ScreenOptions, session: Session, database: Path) -> str:
    """Key of the run that has all summaries, '' when there is none; the reason was told then."""
    from dsum_bench.cli.screen import prepare, sweep
    from dsum_bench.fingerprints import run_id

    candidates, samples = prepare(choices, session, references=False)
    key = run_id(candidates[0].run)
    if database.exists() and key in reader.finished(database):
        return key  # with scores and findings, which a sweep without metrics would not have
    counts, _ = sweep(choices, session, database, candidates, samples, {})
    return key if counts["done"] else ""


def _columns(registry: Registry, dataset: str) -> tuple[str, str]:
    """What the dataset calls ids and summaries; our own names where it is not in the registry."""
    spec = registry.datasets.get(dataset)
    found = [spec.columns.get(ours, ours) if spec else ours for ours in ("id", "summary")]
    first, second = (name if isinstance(name, str) else name[0] for name in found)
    return first, second


def _table(rows: Sequence[SampleRecord], columns: tuple[str, str], index: bool) -> str:
    head = ["", *columns] if index else columns
    body = ([*([number] if index else []), row.sample_id, row.summary] for number, row in enumerate(rows))
    return csv_text([head, *body])


def _lines(rows: Sequence[SampleRecord], columns: tuple[str, str]) -> str:
    first, second = columns
    return "".join(json.dumps({first: r.sample_id, second: r.summary}, ensure_ascii=False) + "\n" for r in rows)


def _write(file: Path, text: str) -> None:
    """All of it or nothing."""
    new = file.with_name(f".{file.name}.new")
    try:
        new.write_text(text, encoding="utf-8")
        new.replace(file)
    except OSError as error:
        new.unlink(missing_ok=True)
        raise UserError(f"{file} cannot be written: {error.strerror or error}; the summaries are kept") from error
