"""``dsum-bench check``: the protocol checks that need no generation."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from dsum_bench.cli.options import json_option, plugin_option, registry_option
from dsum_bench.errors import ModelError, ModelSkipped, UserError
from dsum_bench.spec import Finding, PromptFormat, Sample

if TYPE_CHECKING:
    from dsum_bench.cli.session import Session


@click.command(short_help="Look for ways in which a model's numbers would be wrong.")
@click.argument("models", nargs=-1, required=True, metavar="MODEL...")
@click.option("--dataset", default="samples-ko", show_default=True, help="Dataset of the registry.")
@click.option("--split", help="Split of the dataset  [default: the dataset's own]")
@click.option("--limit", type=click.IntRange(min=1), help="Only the first N samples.")
@click.option("--prompt", help="Prompt of the registry instead of the model's own.")
@click.option("--prompt-format", type=click.Choice(get_args(PromptFormat)), default="template", show_default=True)
@click.option("--decoding", help="Decoding of the registry instead of the model's own.")
@click.option("--set", "settings", multiple=True, metavar="KEY=VALUE", help="Change a parameter of the decoding.")
@registry_option
@plugin_option
@json_option
@click.pass_context
def check(
    context: click.Context,
    /,
    models: tuple[str, ...],
    registry: tuple[Path, ...],
    plugin: tuple[str, ...],
    **typed: Any,
) -> None:
    """Run the protocol checks on MODELs that need no generation: prompts, tokens, settings, data.

    Fetches tokenizers where needed; loads no weights. `screen` runs these too, and those of outputs and scores.

    Exit code: 0 nothing found, 1 an error or warning, or a model that cannot be looked at, 2 wrong usage or input.
    """
    from dsum_bench.cli.formatting import print_json
    from dsum_bench.cli.session import Session

    session = Session.open(registry, plugin)
    session.report_problems()
    split = typed["split"] or session.registry.dataset(typed["dataset"]).default_split
    samples = _samples(session, typed["dataset"], split, typed["limit"])
    for model in models:
        session.registry.model(model)
    found: dict[str, list[Finding]] = {}
    broken: dict[str, str] = {}
    for model in dict.fromkeys(models):
        try:
            found[model] = _look(session, model, split, samples, typed)
        except (ModelError, ModelSkipped, UserError) as error:
            broken[model] = str(error).removeprefix(f"{model}: ")
    if typed["as_json"]:
        print_json(
            [{"model": m, "findings": [asdict(f) for f in fs]} for m, fs in found.items()]
            + [{"model": m, "problem": problem} for m, problem in broken.items()]
        )
    else:
        _print(session, found, broken, len(samples))
    grave = any(f.level != "note" for fs in found.values() for f in fs)
    context.exit(1 if grave or broken else 0)


def _samples(session: Session, dataset: str, split: str, limit: int | None) -> tuple[Sample, ...]:
    from dsum_bench.datasets.load import load

    return load(session.registry.dataset(dataset), session.plugins, split, references=False)[:limit]


def _look(session: Session, model: str, split: str, samples: Sequence[Sample], typed: dict[str, Any]) -> list[Finding]:
    from dsum_bench.checks import runner
    from dsum_bench.checks.base import Setup
    from dsum_bench.cli import opened

    candidate = opened.look(
        session,
        model,
        typed["dataset"],
        split,
        samples,
        **{k: typed[k] for k in ("prompt", "prompt_format", "decoding", "settings")},
    )
    it = opened.opened(session, candidate)
    prompts = {s.id: it.adapter.prompt(s) for s in samples}
    setup = Setup(it.run, samples, prompts, it.adapter, it.decoding, it.engine, it.loaded)
    return runner.before(session.plugins, setup, lambda text: click.echo(f"warning: {text}", err=True))


def _print(session: Session, found: dict[str, list[Finding]], broken: dict[str, str], n: int) -> None:
    from dsum_bench.cli.progress import told_of

    console = session.console()
    for model, findings in found.items():
        if not findings:
            console.print(f"{model}: nothing found in {n} prompts", style="green", markup=False)
        for finding in findings:
            console.print(told_of(model, finding), soft_wrap=not console.is_terminal)
    for model, problem in broken.items():
        console.print(f"{model}: cannot be looked at: {problem}", style="red", markup=False)
