"""After a training: screen result, base and controls alike, and say by how much the result is better."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dsum_bench.languages import main_metric

if TYPE_CHECKING:
    from dsum_bench.cli.session import Session
    from dsum_bench.training.job import TrainingJob


def screen_and_compare(done: Sequence[TrainingJob], wanted: Any, choices: Any, session: Session, database: Path) -> int:
    """Screen what was trained, print each difference with its interval and p, and return screen's exit code."""
    from dsum_bench.cli import screen
    from dsum_bench.registry.trained import with_trained

    session.registry = with_trained(session.registry, database.parent)
    base, language = done[0].spec.model.name, done[0].spec.language
    control = f"constant-{language}"
    beside = [name for name in (base, control) if name in session.registry.models]
    code = screen.run(
        screen.ScreenOptions(
            models=(*beside, *(job.id for job in done)),
            all_models=False,
            dataset=wanted.dataset,
            split=wanted.dev_split,
            limit=choices.screen_limit,
            sample=None,
            seed=wanted.seed,
            prompt=wanted.prompt,
            prompt_format=wanted.prompt_format,
            decoding=None,
            settings=(),
            metrics=(),
            device=choices.device,
            dtype=None,
            quantization=None,
            time_budget=None,
            hang_timeout=choices.hang_timeout,
            executor=choices.executor,
            fresh=False,
            free_cache=False,
            dialogues=True,
            dry_run=False,
            as_json=False,
        ),
        session,
        database,
    )
    metric = main_metric(language)
    for job in done:
        for other in beside:
            click.echo(difference(database, job.id, other, metric))
    return code


def difference(database: Path, trained: str, other: str, metric: str) -> str:
    """One line: how the latest finished run of a trained model stands to that of another on the same samples."""
    from dsum_bench import figures
    from dsum_bench.store.pairs import compared
    from dsum_bench.store.reader import run
    from dsum_bench.store.training import latest_pair

    keys = latest_pair(database, trained, other)
    if keys is None:
        return f"{trained} and {other} have no finished screening of the same samples"
    first, second = (run(database, key) for key in keys)
    found = compared(database, (first, second), metric, "mean")
    means, (pair,) = found.means, found.pairs
    gap = figures.difference(pair.difference.mean, pair.difference.low, pair.difference.high)
    return f"{trained} {means[0]:.2f}, {other} {means[1]:.2f}: {gap}, p = {pair.p:.4f}, {found.n} samples, {metric}"
