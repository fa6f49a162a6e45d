"""``dsum-bench export``: a trained model as a folder for others."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from dsum_bench.cli.options import plugin_option, registry_option, results_option
from dsum_bench.errors import ModelError, UserError, suggestion

if TYPE_CHECKING:
    from dsum_bench.cli.session import Session
    from dsum_bench.spec import ModelSpec


@click.command()
@click.argument("model", metavar="BASE@RUN")
@click.option("-o", "--output", type=click.Path(path_type=Path), required=True, help="New folder.")
@click.option("--merge", is_flag=True, help="Whole weights instead of an adapter.")
@click.option("--dataset", default="samples-ko", show_default=True, help="Dialogues on which a merge is tried.")
@registry_option
@plugin_option
@results_option
def export(
    model: str,
    output: Path,
    merge: bool,
    dataset: str,
    database: Path,
    registry: tuple[Path, ...],
    plugin: tuple[str, ...],
) -> None:
    """Write the trained model BASE@RUN with a model card to a new folder."""
    from dsum_bench.cli.session import Session
    from dsum_bench.provenance import read
    from dsum_bench.registry.trained import result_folder
    from dsum_bench.training.export import card, copy

    session = Session.open(registry, plugin, database.parent)
    spec = session.registry.models.get(model)
    if spec is None or spec.base is None:
        trained = [name for name, found in session.registry.models.items() if found.base]
        raise UserError(f"no trained model '{model}' in {database.parent}{suggestion(model, trained)}")
    if output.exists() and any(output.iterdir()):
        raise UserError(f"{output} is not empty; choose a new folder")
    folder = result_folder(database.parent, model)
    made = read(folder)
    assert made is not None, "the entry was made from it"
    try:
        if merge and spec.peft is not None:
            _merge(spec, session, dataset, output, database)
        else:
            copy(folder, output)
        (output / "README.md").write_text(card(spec, made, _scores(database, model), merge), encoding="utf-8")
    except (ModelError, OSError) as error:
        raise UserError(f"{model} cannot be exported: {error}") from None
    click.echo(f"{model} is in {output}")


def _merge(spec: ModelSpec, session: Session, dataset: str, output: Path, database: Path) -> None:
    from dsum_bench.datasets.load import load, select
    from dsum_bench.executors.base import JobEnded, events_of
    from dsum_bench.executors.local import Local
    from dsum_bench.machine import detect
    from dsum_bench.training.export import TEXTS, MergeDone, MergeJob

    data = session.registry.dataset(dataset)
    samples = select(load(data, session.plugins, data.default_split), TEXTS, None, 0).samples
    plan = session.plugins.engines[spec.engine].plan(spec, detect(), 1)
    log = str(database.parent.resolve() / "logs" / f"{spec.name}-merge.log")
    texts = tuple(s.dialogue for s in samples)
    job = MergeJob(spec.name, spec, plan.placement, texts, output.resolve(), log, session.plugins.settings)
    for event in events_of(Local(), [job]):
        if isinstance(event, MergeDone):
            click.echo(f"merged: {event.different} of {event.total} outputs differ from those of the adapter")
        elif isinstance(event, JobEnded) and event.reason:
            raise ModelError(event.reason)


def _scores(database: Path, model: str) -> list[tuple[str, str, str, float, int]]:
    from dsum_bench.store.training import scores_of

    return scores_of(database, model)
