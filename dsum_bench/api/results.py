"""Reading results: what the store holds, as DataFrames."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dsum_bench.api.workspace import Workspace
from dsum_bench.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

    from dsum_bench.store.pairs import Comparison
    from dsum_bench.store.reader import Order
    from dsum_bench.store.records import Board, RunRecord
    from dsum_bench.store.training import Training


class Results(Workspace):
    """The readers of a bench; they use only its database."""

    def boards(self, metric: str | None = None, dataset: str | None = None, split: str | None = None) -> list[Board]:
        """The boards of one metric as the leaderboard prints them; ``leaderboard`` gives them as a DataFrame."""
        from dsum_bench.store import reader

        return reader.boards(self.database, metric, dataset, split)

    def leaderboard(
        self, metric: str | None = None, dataset: str | None = None, split: str | None = None
    ) -> pd.DataFrame:
        """One row per ranked run, best first, board by board; runs that are not ranked follow each board.

        Columns: ``BOARD_COLUMNS`` of ``dsum_bench.api.frames``, then each measure with ``_low`` and ``_high`` of its
        95 % interval, from 0 to 100. rank: within its board. group: every run of a later group differs significantly
        from the first run of an earlier one.
        """
        from dsum_bench.api import frames
        from dsum_bench.store.ranking import DEFAULT_SORT, ranked

        return frames.leaderboard(ranked(self.database, self.boards(metric, dataset, split), DEFAULT_SORT))

    def comparison(self, *runs: str, metric: str | None = None, measure: str = "mean") -> Comparison:
        """Pairwise tests of runs, with their samples; ``compare`` returns only the pairs."""
        from dsum_bench.store.pairs import compared

        records = [self.run(run) for run in runs]
        return compared(self.database, records, metric or self._metric(records[0]), measure)

    def compare(self, a: str, b: str, *more: str, metric: str | None = None, measure: str = "mean") -> pd.DataFrame:
        """Every pair of two or more runs: ``PAIR_COLUMNS`` of ``dsum_bench.api.frames``.

        difference: mean of a minus mean of b, on the scale of 100, with its 95 % interval low to high; p: of a paired
        permutation test. Both are corrected for the number of pairs; p_board for all pairs of their board, NaN if
        the runs are the whole board.
        """
        from dsum_bench.api import frames

        return frames.compare(self.comparison(a, b, *more, metric=metric, measure=measure))

    def runs(self) -> pd.DataFrame:
        """Every stored run, whatever its status: ``RUN_COLUMNS`` of ``dsum_bench.api.frames``."""
        from dsum_bench.api import frames

        return frames.runs(self._records())

    def run(self, run: str) -> RunRecord:
        """One run with all details, by its key, a prefix of it, or the name of a model that has one finished run."""
        from dsum_bench.store import reader
        from dsum_bench.store.constant import judged_run

        return judged_run(self.database, reader.run(self.database, run))

    show = run

    def find(self, name: str) -> RunRecord | Training:
        """A run as ``run`` finds it; if none matches, the training of that name."""
        from dsum_bench.store.training import training

        try:
            return self.run(name)
        except UserError:
            try:
                return training(self.database, name)
            except UserError:
                pass
            raise

    def samples(self, run: str, metric: str | None = None, order: Order = "position") -> pd.DataFrame:
        """The finished samples of a run, its outputs and summaries, with a column for each measure of the metric.

        order: ``position`` in the dataset, ``worst`` or ``best`` first.
        """
        from dsum_bench.api import frames

        record = self._record(run)
        return frames.samples(self.database, record, metric or self._metric(record), order)

    def scores(self, run: str, metric: str | None = None) -> pd.DataFrame:
        """Scores of each sample of a run, indexed by the sample's id, on the scale of 100."""
        from dsum_bench.api import frames

        record = self._record(run)
        return frames.scores(self.database, record, metric or self._metric(record))

    def findings(self, run: str | None = None) -> pd.DataFrame:
        """Findings of the protocol checks for one run or all: ``FINDING_COLUMNS`` of ``dsum_bench.api.frames``."""
        from dsum_bench.api import frames

        return frames.findings([self.run(run)] if run is not None else self._records())

    def training(self, name: str) -> Training:
        """One training by its name ``BASE@RUN`` or by RUN: settings, plan, status and curve."""
        from dsum_bench.store.training import training

        return training(self.database, name)

    def curve(self, training: str) -> pd.DataFrame:
        """The curve of a training: columns step, measure (``loss``, ``eval_loss``, ``lr``, ...), value."""
        from dsum_bench.api import frames

        return frames.curve(self.training(training).curve)

    def _metric(self, record: RunRecord) -> str:
        """The metric that a run's data are usually read by."""
        from dsum_bench.store import reader

        return reader.usual_metric(self.database, record.row.run_id)

    def _record(self, run: str) -> RunRecord:
        """One run without what only a look at all others tells of it."""
        from dsum_bench.store import reader

        return reader.run(self.database, run)

    def _records(self) -> list[RunRecord]:
        from dsum_bench.store import reader

        return reader.runs(self.database)
