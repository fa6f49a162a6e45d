"""Every hook a plugin may implement. Built-ins use these and nothing else.

Registration hooks are called once, when the first part that needs that kind of thing asks for it. Each hands
over ``register``; call it once for every class. A class carries its ``name``; a name that is missing or taken
is refused and both owners are named. All implementations are called (none is first-result).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from pluggy import HookimplMarker, HookspecMarker

if TYPE_CHECKING:
    from pathlib import Path

    import click

    from dsum_bench.adapters.base import Adapter
    from dsum_bench.checks.base import Check
    from dsum_bench.datasets.base import DatasetReader
    from dsum_bench.decoding.base import Decoding
    from dsum_bench.engines.base import Engine
    from dsum_bench.executors.base import Executor
    from dsum_bench.metrics.base import Metric, MetricTokenizer
    from dsum_bench.postprocess.base import Postprocessor
    from dsum_bench.spec import ModelSpec, Output, RunSpec, TrainingSpec
    from dsum_bench.training.base import Trainer

hookspec = HookspecMarker("dsum_bench")
hookimpl = HookimplMarker("dsum_bench")

# ------------------------------------------------------------------------------------------------------------
# Registration: what models need
# ------------------------------------------------------------------------------------------------------------


@hookspec
def dsum_register_adapters(register: Callable[[type[Adapter]], None]) -> None:
    """Register model families: how a prompt is built and an output is read."""


@hookspec
def dsum_register_engines(register: Callable[[type[Engine]], None]) -> None:
    """Register engines: what runs a model."""


@hookspec
def dsum_register_decodings(register: Callable[[type[Decoding]], None]) -> None:
    """Register decoding strategies, the ``strategy`` of a ``[decodings.NAME]`` entry."""


@hookspec
def dsum_register_models(register: Callable[[ModelSpec], None]) -> None:
    """Register entries of the model zoo shipped by a package; a registry file may override them by name."""


# ------------------------------------------------------------------------------------------------------------
# Registration: data and scores
# ------------------------------------------------------------------------------------------------------------


@hookspec
def dsum_register_datasets(register: Callable[[type[DatasetReader]], None]) -> None:
    """Register dataset formats, the ``format`` of a ``[datasets.NAME]`` entry."""


@hookspec
def dsum_register_metrics(register: Callable[[type[Metric]], None]) -> None:
    """Register metrics."""


@hookspec
def dsum_register_tokenizers(register: Callable[[type[MetricTokenizer]], None]) -> None:
    """Register tokenizers that metrics count on, the part after ``@`` in ``rouge@mecab``."""


@hookspec
def dsum_register_checks(register: Callable[[type[Check]], None]) -> None:
    """Register protocol checks: ways in which a run's numbers could be wrong."""


@hookspec
def dsum_register_postprocessors(register: Callable[[type[Postprocessor]], None]) -> None:
    """Register postprocessors, the ``steps`` of a ``[postprocess.NAME]`` entry."""


# ------------------------------------------------------------------------------------------------------------
# Registration: how it runs
# ------------------------------------------------------------------------------------------------------------


@hookspec
def dsum_register_trainers(register: Callable[[type[Trainer]], None]) -> None:
    """Register trainers, the ``trainer`` of a ``[recipes.NAME]`` entry."""


@hookspec
def dsum_register_executors(register: Callable[[type[Executor]], None]) -> None:
    """Register executors: where workers run."""


@hookspec
def dsum_register_commands(cli: click.Group) -> None:
    """Add commands to ``dsum-bench``. Called when a command is asked for that is not built in."""


# ------------------------------------------------------------------------------------------------------------
# Events of a run, told in the process that writes the store, after the write has been committed
# ------------------------------------------------------------------------------------------------------------


@hookspec
def dsum_run_started(run_id: str, run: RunSpec, results: Path) -> None:
    """A run was opened or resumed. results: the folder of the results database."""


@hookspec
def dsum_samples_done(run_id: str, run: RunSpec, rows: Sequence[Output]) -> None:
    """A batch of samples was finished, scored and stored."""


@hookspec
def dsum_run_finished(run_id: str, run: RunSpec, status: str, reason: str, results: Path) -> None:
    """A run ended; status is ``done``, ``partial``, ``failed`` or ``skipped``, reason says why where it is not done."""


@hookspec
def dsum_training_started(run_id: str, run: TrainingSpec, results: Path) -> None:
    """A training was opened or resumed. results: the folder of the results database."""


@hookspec
def dsum_training_log(run_id: str, run: TrainingSpec, step: int, values: Mapping[str, float], results: Path) -> None:
    """A training run logged a step: ``loss``, ``lr``, ``grad_norm``, ``epoch``, or ``eval_loss`` or
    ``eval_rouge`` after an epoch."""


@hookspec
def dsum_training_finished(run_id: str, run: TrainingSpec, status: str, reason: str, results: Path) -> None:
    """A training ended; status is ``done``, ``partial``, ``failed`` or ``skipped``, reason says why where it is not
    done."""


def registration_hooks() -> tuple[str, ...]:
    """Names of the hooks that register named things, without commands and events."""
    return tuple(n for n in _all_hooks() if n.startswith("dsum_register_") and n != "dsum_register_commands")


def _all_hooks() -> list[str]:
    module: dict[str, Any] = globals()
    return [n for n in module if n.startswith("dsum_")]
