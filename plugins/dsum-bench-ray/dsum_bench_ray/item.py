"""A worker's side on a node: a job planned for this node, and further samples for the model that it has loaded."""

from __future__ import annotations

import pickle
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from tempfile import gettempdir
from typing import Any, ClassVar

from dsum_bench.errors import ModelError, ModelSkipped, UserError
from dsum_bench.executors.base import Event, Job
from dsum_bench.executors.child import run_job
from dsum_bench.machine import detect
from dsum_bench.plugins import Plugins
from dsum_bench.screening.job import ScreeningJob
from dsum_bench.screening.worker import run as screen
from dsum_bench.spec import Placement, PluginSettings, RunSpec, Sample

POLL = 0.02


@dataclass(frozen=True, slots=True)
class Item:
    """A job as a node's worker gets it. inbox: folder for further samples. files: plugin files by their path where the
    command runs, with what they hold."""

    entry: ClassVar[str] = "dsum_bench_ray.item:run"

    id: str
    job: Job
    log: str
    inbox: str
    files: Mapping[str, bytes]

    @property
    def placement(self) -> Placement:
        return self.job.placement


@dataclass(frozen=True, slots=True)
class Inside:
    """The job itself, run inside its item so that its end can be told from its worker's death."""

    entry: ClassVar[str] = "dsum_bench_ray.item:inside"

    id: str
    job: Job
    log: str
    inbox: str

    @property
    def placement(self) -> Placement:
        return self.job.placement


@dataclass(frozen=True, slots=True)
class Wants:
    """A worker is through with its samples and has its model loaded."""

    job: str


@dataclass(frozen=True, slots=True)
class Unfit:
    """This node cannot do the job; another may."""

    job: str
    reason: str


@dataclass(frozen=True, slots=True)
class Ended:
    """The job ended by itself, well or with a reason; a worker that dies does not say this."""

    job: str
    reason: str
    skipped: bool


def run(item: Item, emit: Callable[[Event], None]) -> None:
    """Plan the job for this node and do it."""
    try:
        job = fitted(item.job, item.files)
    except (ModelSkipped, ModelError, UserError) as error:
        emit(Unfit(item.id, str(error)))
        return
    ended = run_job(Inside(item.id, job, item.log, item.inbox), emit)
    emit(Ended(item.id, ended.reason, ended.skipped))


def inside(item: Inside, emit: Callable[[Event], None]) -> None:
    """Do the job; a screening takes further samples as long as there are any."""
    if not isinstance(item.job, ScreeningJob):
        module, _, name = item.job.entry.partition(":")
        getattr(__import__(module, fromlist=[name]), name)(item.job, emit)
        return
    numbers = iter(range(1, 1 << 40))

    def more() -> tuple[Sample, ...]:
        emit(Wants(item.id))
        return received(Path(item.inbox) / str(next(numbers)))

    screen(item.job, emit, more)


def received(file: Path) -> tuple[Sample, ...]:
    """Samples that are put into a file; waits for it."""
    while not file.exists():
        time.sleep(POLL)
    samples: tuple[Sample, ...] = pickle.loads(file.read_bytes())
    file.unlink()
    return samples


def put(samples: tuple[Sample, ...], file: Path) -> None:
    """The inverse of ``received``: the file is there whole or not at all."""
    new = file.with_suffix(".new")
    new.write_bytes(pickle.dumps(samples))
    new.rename(file)


# -- planned for this node ------------------------------------------------------------------------------------


def fitted(job: Any, files: Mapping[str, bytes]) -> Any:
    """The job as this node can do it, with the plugin files it needs in a place of their own.

    Raises:
        ModelSkipped: it does not fit here, or would write something else here; says why and what to copy.
    """
    settings = with_files(job.plugins, files)
    if not isinstance(job, ScreeningJob):
        work = getattr(job, "work", None)
        if work is not None and not Path(work).is_dir():
            raise ModelSkipped(f"its folder {work} is not on this node: the results folder must be shared by all nodes")
        return replace(job, plugins=settings)
    for folder in folders(job.run):
        if not Path(folder).exists():
            raise ModelSkipped(f"{folder} of model {job.run.model.name} is not on this node: copy it there")
    return replace(job, plugins=settings, run=replace(job.run, placement=placed(job.run, Plugins(settings))))


def placed(run: RunSpec, plugins: Plugins) -> Placement:
    """Where the model goes on this node.

    Raises:
        ModelSkipped: not in the numbers, or with the weights or packages, that the run was planned with: all its
            samples must be written alike.
    """
    planned = run.placement
    model = run.model
    if planned.dtype != "none":
        model = replace(model, dtype=planned.dtype, quantization=planned.quantization)  # type: ignore[arg-type]
    engine = plugins.get("engine", model.engine)
    strategy = plugins.get("decoding", run.decoding.strategy) if run.decoding else None
    beams = strategy(strategy.Params(**run.decoding.params)).beams if strategy and run.decoding else 1
    plan = engine.plan(model, detect(), beams)
    here = plan.placement
    for what, there, now in (
        ("numbers", planned.dtype, here.dtype),
        ("quantization", planned.quantization, here.quantization),
        ("device", planned.device.partition(":")[0], here.device.partition(":")[0]),
        ("weights", run.weights, plan.weights),
        *((name, run.versions[name], v) for name, v in engine.versions().items() if name in run.versions),
    ):
        if there != now:
            raise ModelSkipped(f"{what} {now} here, {there} where the run was planned")
    return here


def folders(run: RunSpec) -> list[str]:
    """Local files and folders that a model is read from."""
    return [part for part in run.model.source if Path(part).is_absolute()]


def with_files(settings: PluginSettings, files: Mapping[str, bytes]) -> PluginSettings:
    """Plugin settings whose files are here: those that came along, each in a folder of its own."""
    found = []
    for name in settings.files:
        if name in files:
            content = files[name]
            place = Path(gettempdir()) / "dsum-bench-ray" / sha256(content).hexdigest()[:16] / Path(name).name
            if not place.is_file():
                place.parent.mkdir(parents=True, exist_ok=True)
                new = place.with_suffix(f".{time.monotonic_ns()}")
                new.write_bytes(content)
                new.rename(place)
            name = str(place)
        found.append(name)
    return replace(settings, files=tuple(found))
