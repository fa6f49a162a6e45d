"""Keeping stored runs in order: names, deletion, further metrics, and runs from and for other machines."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dsum_bench.api.results import Results
from dsum_bench.store import DATABASE

if TYPE_CHECKING:
    from dsum_bench.screening.rescore import Rescored
    from dsum_bench.store.compacting import Compacted
    from dsum_bench.store.copying import Copied
    from dsum_bench.store.records import RunRecord


class Management(Results):
    """What changes stored runs without generating anything."""

    def rename(self, run: str, name: str) -> RunRecord:
        """Give a run a name that every method accepts; '' removes the name."""
        from dsum_bench.store.writer import Store

        record = self.run(run)
        with Store.open(self.database) as store:
            store.rename(record.row.run_id, name)
        return record

    def delete(self, runs: Sequence[str]) -> list[str]:
        """Delete runs with their summaries and scores, and dialogues that no other run uses; returns their keys."""
        from dsum_bench.store.samples import drop_unused
        from dsum_bench.store.writer import Store

        keys = list(dict.fromkeys(self.run(run).row.run_id for run in runs))
        with Store.open(self.database) as store:
            for key in keys:
                store.discard(key)
            with store.transaction() as db:
                drop_unused(db.conn)
        return keys

    def merge(self, other: str | Path) -> Copied:
        """Merge the runs and trainings of another results folder, or of its database, into this one.

        A run in both gets the samples and scores that are missing here; existing ones are kept.

        Raises:
            UserError: a run has different dialogues, references or kind in the two; nothing is merged then.
        """
        from dsum_bench.store.copying import copy_runs
        from dsum_bench.store.writer import Store

        source = Path(other)
        with Store.open(self.database) as store:
            return copy_runs(source / DATABASE if source.is_dir() else source, store)

    def compact(self) -> Compacted:
        """Shrink the results database by removing unused space, such as that of deleted runs.

        Raises:
            UserError: another process is writing to it, or the disk has no space for a second copy; nothing is lost.
        """
        from dsum_bench.store.compacting import compact
        from dsum_bench.store.reading import reading

        with reading(self.database, None):
            pass  # says where there is nothing, or nothing of ours
        return compact(self.database)

    def export_runs(self, runs: Sequence[str], output: str | Path) -> Path:
        """Export runs to a new database, with summaries, scores, findings and dialogues; returns its path.

        output: a file such as ``runs.db``, or a folder.
        """
        from dsum_bench.store.copying import copy_runs
        from dsum_bench.store.writer import Store

        keys = list(dict.fromkeys(self.run(run).row.run_id for run in runs))
        output = Path(output)
        file = output if output.suffix else output / DATABASE
        with Store.open(file) as store:
            copy_runs(self.database, store, keys)
            store.leave_wal()
        return file

    def rescore(
        self, metrics: Sequence[str], runs: Sequence[str] = (), tell: Callable[[Rescored], None] | None = None
    ) -> list[Rescored]:
        """Score stored summaries of runs, or of all runs, with more metrics; nothing is generated.

        tell: called with the result after each run. Runs stored without dialogues report that as their reason.
        """
        from dsum_bench.metrics.choose import build
        from dsum_bench.screening import rescore as scoring
        from dsum_bench.store import reader
        from dsum_bench.store.writer import Store

        self.report_problems()
        built = {name: build(self.loaded_plugins, name) for name in dict.fromkeys(metrics)}
        everything = [record for record in reader.runs(self.database) if record.row.n]
        chosen = {self.run(run).row.run_id for run in runs} or {r.row.run_id for r in everything}
        with Store.open(self.database) as store:
            records = [r for r in everything if r.row.run_id in chosen]
            return list(scoring.rescore(store, records, built, tell or (lambda done: None)))
