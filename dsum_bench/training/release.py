"""A trained model out of the results folder: found, merged in a worker where asked, with its model card."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from dsum_bench.datasets.load import load, select
from dsum_bench.errors import ModelError, UserError, suggestion
from dsum_bench.executors.base import JobEnded, events_of
from dsum_bench.executors.local import Local
from dsum_bench.machine import detect
from dsum_bench.plugins import Plugins
from dsum_bench.provenance import read
from dsum_bench.registry.load import Registry
from dsum_bench.registry.trained import result_folder
from dsum_bench.spec import DatasetSpec, ModelSpec
from dsum_bench.store.training import scores_of
from dsum_bench.training.card import card
from dsum_bench.training.export import TEXTS, MergeDone, MergeJob, copy

Tell = Callable[[str], None]


def export(
    name: str, output: Path, registry: Registry, plugins: Plugins, database: Path, dataset: str, tell: Tell
) -> None:
    """Write the trained model ``BASE@RUN`` to a new folder, with a model card.

    dataset: dialogues on which merged weights are tried; '' exports the adapter as it is.

    Raises:
        UserError: there is no such model, the folder is not empty, or the weights cannot be written.
    """
    spec = registry.models.get(name)
    if spec is None or spec.base is None:
        trained = [known for known, found in registry.models.items() if found.base]
        raise UserError(f"no trained model '{name}' in {database.parent}{suggestion(name, trained)}")
    if output.exists() and any(output.iterdir()):
        raise UserError(f"{output} is not empty; choose a new folder")
    folder = result_folder(database.parent, name)
    made = read(folder)
    assert made is not None, "the entry was made from it"
    try:
        if dataset and spec.peft is not None:
            _merge_in_worker(spec, registry.dataset(dataset), plugins, output, database, tell)
        else:
            copy(folder, output)
        text = card(spec, made, scores_of(database, name), output)
        (output / "README.md").write_text(text, encoding="utf-8")
    except (ModelError, OSError) as error:
        raise UserError(f"{name} cannot be exported: {error}") from None


def _merge_in_worker(
    spec: ModelSpec, data: DatasetSpec, plugins: Plugins, output: Path, database: Path, tell: Tell
) -> None:
    samples = select(load(data, plugins, data.default_split), TEXTS, None, 0).samples
    plan = plugins.engines[spec.engine].plan(spec, detect(), 1)
    log = str(database.parent.resolve() / "logs" / f"{spec.name}-merge.log")
    texts = tuple(s.dialogue for s in samples)
    job = MergeJob(spec.name, spec, plan.placement, texts, output.resolve(), log, plugins.settings)
    for event in events_of(Local(), [job]):
        if isinstance(event, MergeDone):
            tell(f"merged: {event.different} of {event.total} outputs differ from those of the adapter")
        elif isinstance(event, JobEnded) and event.reason:
            raise ModelError(event.reason)
