"""The folder of a training run: whose it is, and starting it over."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping

from dsum_bench import provenance
from dsum_bench.errors import UserError
from dsum_bench.training.job import TrainingJob

FILE = "settings.json"


def claim(job: TrainingJob, settings: Mapping[str, str]) -> None:
    """Note a run's settings in its folder, or check that they are those it was started with.

    Raises:
        UserError: they changed (says which), or the folder cannot be written.
    """
    file = job.work / FILE
    try:
        before = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else None
        if before is None:
            job.work.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(dict(settings), indent=1) + "\n", encoding="utf-8")
            return
    except (OSError, ValueError) as error:
        raise UserError(f"the training folder {job.work} cannot be used: {error}; --fresh starts over") from None
    if before != dict(settings) and not begun(job):
        # Refused for its memory, say, and given again with what the refusal advised.
        file.write_text(json.dumps(dict(settings), indent=1) + "\n", encoding="utf-8")
        return
    changed = [f"{k} ({before.get(k, '-')} then, {v} now)" for k, v in settings.items() if before.get(k) != v]
    if changed:
        raise UserError(
            f"run '{job.spec.name}' was started with other settings: {', '.join(changed)}; use --fresh to start it "
            "over, or another --name"
        )


def begun(job: TrainingJob) -> bool:
    """Whether anything of a run is kept: a checkpoint or its result."""
    return job.result.exists() or any((job.work / "checkpoints").glob("checkpoint-*"))


def finished(job: TrainingJob) -> bool:
    """Whether the run has its result, which is put in its place only once all of it is written."""
    return (job.result / provenance.FILE).is_file()


def forget(job: TrainingJob) -> None:
    """Drop the checkpoints and the result of earlier attempts."""
    for folder in (job.work, job.result):
        shutil.rmtree(folder, ignore_errors=True)
