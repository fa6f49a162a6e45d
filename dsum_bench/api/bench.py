"""The Python API: everything a command does, for notebooks and scripts."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from dsum_bench.api.stages import Stages
from dsum_bench.api.submissions import Submissions
from dsum_bench.api.training import TrainingBench
from dsum_bench.errors import UserError
from dsum_bench.spec import HANG_TIMEOUT, DatasetSpec, ModelSpec

if TYPE_CHECKING:
    import pandas as pd

    from dsum_bench.api.doctor import Diagnosis
    from dsum_bench.api.guessing import GuessedDataset
    from dsum_bench.combining.tally import Tally
    from dsum_bench.plugins import PluginInfo
    from dsum_bench.scaffold import Kind


class Bench(TrainingBench, Stages, Submissions):
    """Models, datasets and results: the entry point of the Python API.

    Args:
        registry: registry files that extend the shipped one and ``registry.toml`` in the working directory; one path
            or several.
        results: folder of the results database ``dsum.db``, trained models and logs.
        plugins: paths of plugin files, and your own classes (adapters, metrics, checks, ...), which are registered
            for this bench only.
        progress: ``"auto"`` shows Rich bars in a terminal and in a notebook and plain lines elsewhere, on standard
            error; a function is called with each ``ProgressEvent``; None is silent.
        console: Rich console that ``"auto"`` writes to.

    Creating a bench reads nothing; registry and plugins are loaded when first needed. Wherever a registry name is
    accepted, so is an object: a ``ModelSpec``, ``DatasetSpec``, ``PromptSpec`` or ``DecodingSpec``, a
    DataFrame of dialogues (columns ``id``, ``dialogue``, ``summary``), or a prompt string with ``{dialogue}``.

    Raises (all methods):
        UserError: invalid usage or input; the message says what to do.
    """

    # -- reporting ---------------------------------------------------------------------------------------------

    def votes(self, files: Sequence[str | Path]) -> Tally:
        """Rank runs by votes of people and judge models, and measure how well every metric agrees with them.

        files: CSV with columns voter, sample_id, first, second (runs, in the order shown), choice.
        """
        from dsum_bench.combining import tally, votes

        given = votes.read([Path(f) for f in files])
        return tally.tally(given, tally.stored(self.database, [run for vote in given for run in vote.pair]))

    def report(
        self,
        output: str | Path = "report.html",
        *,
        dialogues: bool = True,
        metric: str | None = None,
        dataset: str | None = None,
        split: str | None = None,
    ) -> Path:
        """Write results as one HTML file that works offline; returns its path.

        dialogues: False omits all texts, for a file that you can share.
        """
        from dsum_bench.report import write_report

        return write_report(self.database, Path(output), dialogues, metric, dataset, split)

    def plot(
        self,
        what: str = "forest",
        output: str | Path | None = None,
        value: str | None = None,
        *,
        metric: str | None = None,
        dataset: str | None = None,
        split: str | None = None,
        language: Literal["en", "ko"] = "en",
        dark: bool = False,
    ) -> Any:
        """Draw a chart of the largest leaderboard; returns an Altair chart, which notebooks display.

        what: ``forest``, ``tradeoff``, ``distribution``, ``matrix``, ``topics``, ``lengths`` or ``curve``.
        output: file to write it to: ``.svg``, ``.png``, ``.pdf``, ``.html``, ``.json``.
        value: cost of a tradeoff, value of a distribution, or measure of a curve.
        """
        from dsum_bench.report.content import gather
        from dsum_bench.report.plots import make_chart, save_plot

        chart = make_chart(gather(self.database, metric, dataset, split), what, value, language, dark)
        if output is not None:
            save_plot(chart, Path(output))
        return chart

    def view(
        self,
        runs: Sequence[str] = (),
        *,
        vote: bool = False,
        port: int = 0,
        votes: str | Path | None = None,
        tell: Callable[[str], None] | None = None,
    ) -> None:
        """Serve a live report on this machine until interrupted.

        vote: a blind vote between runs instead; votes: its file, ``votes.csv`` in the results folder by default.
        port: 0 selects a free one. tell: called with the address.
        """
        from dsum_bench.report.server import serve
        from dsum_bench.report.votes import Ballot

        if runs and not vote:
            raise UserError("RUNs are only valid with --vote: view --vote A B")
        file = Path(votes) if votes is not None else self.results / "votes.csv"
        ballot = Ballot.open(self.database, runs, file) if vote else None
        serve(self.database, port, ballot, tell or self.display.tell)

    # -- what there is --------------------------------------------------------------------------------------

    def models(self, family: str | None = None, max_params: int | str | None = None) -> pd.DataFrame:
        """The model zoo, one row per model, with the fields of ``ModelSpec``.

        family: an adapter, or a prefix of model or checkpoint names. max_params: maximum number of parameters, a
        number or ``"4B"``; models of unknown size are left out then.
        """
        import pandas as pd

        columns = [field.name for field in fields(ModelSpec)]
        rows = [asdict(spec) for spec in self.zoo(family, max_params)]
        return pd.DataFrame(rows, columns=columns).astype({"params": "Int64"})

    def datasets(self) -> pd.DataFrame:
        """The datasets of the registry, one row per split. samples: their number; problem: why it cannot be read."""
        from dsum_bench.api.frames import SPLIT_COLUMNS, frame

        rows = (asdict(spec) | {"dataset": spec.name} | asdict(split) for spec, split in self.splits())
        return frame(({name: row[name] for name in SPLIT_COLUMNS} for row in rows), SPLIT_COLUMNS)

    def splits(self) -> list[tuple[DatasetSpec, Any]]:
        """Each dataset of the registry with each of its splits (``SplitSummary``)."""
        from dsum_bench.datasets.splits import splits

        datasets = self.registry.datasets.values()
        return [(spec, split) for spec in datasets for split in splits(spec, self.loaded_plugins)]

    def guess_dataset(self, file: str | Path, name: str | None = None, *, write: bool = False) -> GuessedDataset:
        """Generate the registry entry for a CSV, TSV, JSON, JSON Lines or Parquet file, and test it.

        name: of the dataset; by default from the file. write: add the entry to ``registry.toml`` in the working
        directory; an existing entry is never overwritten.
        """
        from dsum_bench.api.guessing import guessed

        found = guessed(Path(file), name, self.loaded_plugins)
        if write:
            from dsum_bench.registry.entries import append_dataset

            there = self.registry.datasets.get(found.spec.name)
            if there is not None:
                raise UserError(
                    f"dataset '{there.name}' already exists in {there.origin}; choose another name with --name"
                )
            append_dataset(Path(found.file), found.spec.name, found.entry)
        return found

    def plugins(self) -> list[PluginInfo]:
        """Every plugin with its version, import time and what it registers."""
        self.loaded_plugins.collect_all()
        return list(self.loaded_plugins.info.values())

    def doctor(self, verify_metrics: bool = False, executor: str | None = None, address: str = "") -> list[Diagnosis]:
        """Check what this machine can run. verify_metrics: recompute every stored ROUGE score with the packages.

        executor: check the machines of this executor instead; address: of its cluster.
        """
        from dsum_bench.api import doctor

        if executor is not None:
            return list(doctor.nodes(self._executor(executor, HANG_TIMEOUT, address)))
        if verify_metrics:
            with self.display.counted("runs verified") as progress:
                return list(doctor.verified(self.registry, self.loaded_plugins, self.database, progress))
        return list(doctor.examine(self.loaded_plugins, self.database))

    def new_plugin(self, name: str, kind: Kind, folder: str | Path = ".") -> list[Path]:
        """Create a working plugin package ``dsum-bench-NAME``; returns its folder, then its files."""
        from dsum_bench.scaffold import create

        return create(name, kind, Path(folder))
