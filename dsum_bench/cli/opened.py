"""One model with its tokenizer open and its prompts ready to build, but no weights loaded."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from dsum_bench.adapters.base import Adapter
from dsum_bench.decoding.base import Decoding
from dsum_bench.engines.base import Engine, Loaded
from dsum_bench.errors import UserError
from dsum_bench.screening.preflight import Candidate, Task, preflight
from dsum_bench.screening.worker import build_adapter, build_decoding
from dsum_bench.spec import PromptFormat, RunSpec, Sample

if TYPE_CHECKING:
    from dsum_bench.cli.session import Session


@dataclass(frozen=True, slots=True)
class Opened:
    """What ``prompt`` and ``check`` look at."""

    run: RunSpec
    engine: Engine
    loaded: Loaded
    adapter: Adapter
    decoding: Decoding | None


def look(
    session: Session,
    model: str,
    dataset: str,
    split: str,
    samples: Sequence[Sample],
    *,
    prompt: str | None,
    prompt_format: PromptFormat,
    decoding: str | None = None,
    settings: tuple[str, ...] = (),
) -> Candidate:
    """What preflight says of one model for some samples."""
    from dsum_bench.machine import detect

    task = Task(
        dataset=dataset,
        language=session.registry.dataset(dataset).language,
        split=split,
        selection=f"{len(samples)} samples",
        n_samples=len(samples),
        dataset_fingerprint="",
        references_fingerprint="",
        prompt=prompt,
        prompt_format=prompt_format,
        decoding=decoding,
        settings=settings,
    )
    return preflight([session.registry.model(model)], task, session.registry, session.plugins, detect())[0]


def opened(session: Session, candidate: Candidate) -> Opened:
    """The tokenizer and adapter of a model that can run here.

    Raises:
        UserError: it cannot. ModelError, ModelSkipped: its files are at fault, or cannot be fetched.
    """
    run = candidate.run
    if candidate.status != "ready":
        raise UserError(f"{run.model.name}: {candidate.reason}")
    engine = session.plugins.engines[run.model.engine](run.model, run.placement)
    loaded = engine.prepare(lambda text: click.echo(f"{run.model.name}: {text}", err=True))
    decoding = build_decoding(run, session.plugins)
    return Opened(run, engine, loaded, build_adapter(run, session.plugins, loaded, decoding), decoding)
