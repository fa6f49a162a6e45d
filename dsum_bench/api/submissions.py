"""The ledger of submissions, and what it says of scores that are still hidden."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

from dsum_bench.api.management import Management
from dsum_bench.errors import UserError

if TYPE_CHECKING:
    import pandas as pd

    from dsum_bench.store.records import BoardRow, RunRecord
    from dsum_bench.submissions.ledger import Submission
    from dsum_bench.submissions.outlook import Floats, Outlook

COLUMNS = {
    "when": "datetime64[ns, UTC]", "run": "string", "model": "string", "local": "float64", "public": "float64",
    "private": "float64", "note": "string",
}  # fmt: skip
PUBLIC, PRIVATE = 250, 249
"""Dialogues of the two parts of DialogSum-ko's test split."""


@dataclass(frozen=True, slots=True)
class Forecast:
    """The outlook of the submissions that have scores here.

    submissions, local: each with its mean here, in the order of ``outlook.prospects``. left_out: those without scores
    here. n: dialogues that the scores here are of. metric, measure: what they are.
    """

    submissions: tuple[Submission, ...]
    local: tuple[float, ...]
    outlook: Outlook
    left_out: tuple[Submission, ...]
    n: int
    metric: str
    measure: str

    @property
    def chosen(self) -> tuple[Submission, ...]:
        """What to hand in."""
        return tuple(self.submissions[i] for i in self.outlook.chosen)


class Submissions(Management):
    """The ledger of submissions, ``submissions.csv`` in the results folder."""

    @property
    def ledger(self) -> Path:
        """The ledger; it need not exist yet."""
        from dsum_bench.submissions.ledger import FILE

        return self.results / FILE

    def add_submission(
        self,
        run: str,
        public: float,
        private: float | None = None,
        *,
        local: str | None = None,
        note: str = "",
        when: str | None = None,
    ) -> Submission:
        """Record the public score of a submitted run; call it again for the same run to add the private score.

        local: the run with local scores of the same model and settings; by default it is looked up.
        when: local time, ISO 8601; now by default.
        """
        from dsum_bench.submissions import ledger

        record = self.run(run)
        here = self.run(local) if local is not None else self._scored_alike(record)
        stamp = when or datetime.now().astimezone().isoformat(timespec="seconds")
        try:
            datetime.fromisoformat(stamp)
        except ValueError:
            raise UserError(f"'{stamp}' is not a valid time; give it as 2026-11-23T07:07") from None
        made = ledger.Submission(
            stamp,
            record.row.run_id,
            here.row.run_id if here else "",
            record.row.model,
            ledger.score(public, "public"),
            None if private is None else ledger.score(private, "private"),
            note,
        )
        return next(s for s in ledger.add(self.ledger, made) if s.run == made.run)

    def submissions(self, metric: str | None = None, measure: str = "mean") -> pd.DataFrame:
        """The ledger, one row per submission. local: local mean of the usual metric, NaN if there is none."""
        from dsum_bench.api.frames import frame
        from dsum_bench.submissions import ledger

        rows = [
            {
                "when": datetime.fromisoformat(s.when).astimezone().isoformat(),
                "run": s.run,
                "model": s.model,
                "local": self._mean(s.local, metric, measure),
                "public": s.public,
                "private": s.private,
                "note": s.note,
            }
            for s in ledger.read(self.ledger)
        ]
        return frame(rows, COLUMNS)

    def forecast(
        self,
        n_public: int = PUBLIC,
        n_private: int = PRIVATE,
        *,
        choose: int = 2,
        metric: str | None = None,
        measure: str = "mean",
    ) -> Forecast:
        """Estimate the private scores from local and public ones, and choose the final submissions.

        n_public, n_private: dialogues of the two parts of the test split. choose: number of final submissions.

        Raises:
            UserError: fewer than two submissions with local scores.
        """
        from dsum_bench.store.pairs import together
        from dsum_bench.submissions import ledger
        from dsum_bench.submissions.outlook import outlook

        made = ledger.read(self.ledger)
        usable, left_out = self._with_scores(made)
        if len(usable) < 2:
            raise UserError(
                f"{len(usable)} of {len(made)} submissions have local scores, at least two are needed; add them with "
                "`dsum-bench submissions add RUN --public SCORE`"
            )
        records = [self.run(s.local) for s in usable]
        metric = metric or self._metric(records[0])
        found = together(self.database, records, metric, measure)
        scores = [[sample.scores[i] for sample in found.samples] for i in range(len(records))]
        made_of = outlook(_array(scores), [s.public for s in usable], n_public, n_private, choose)
        means = tuple(sum(values) / len(values) for values in scores)
        return Forecast(tuple(usable), means, made_of, tuple(left_out), len(found.samples), metric, measure)

    # -- work -----------------------------------------------------------------------------------------------

    def _with_scores(self, made: Sequence[Submission]) -> tuple[list[Submission], list[Submission]]:
        """Submissions with scores here, and those without; of several of one run here, the last counts."""
        last = {s.local: s for s in made if s.local}
        usable = [s for s in made if s.local and last[s.local] is s and self._mean(s.local, None, "") is not None]
        return usable, [s for s in made if s not in usable]

    def _mean(self, key: str, metric: str | None, measure: str) -> float | None:
        """A run's mean by a measure, of the usual metric by default, of the first measure where it has no such one."""
        from dsum_bench.store import reader

        record = next((r for r in reader.runs(self.database) if r.row.run_id == key), None) if key else None
        if record is None:
            return None
        name = metric or self._metric(record)
        means = next((s.means for s in record.scores if s.metric == name and s.n == record.row.n_samples), {})
        return means.get(measure, next(iter(means.values()), None))

    def _scored_alike(self, record: RunRecord) -> RunRecord | None:
        """The run itself where it has scores, else the largest with scores of the same model and settings."""
        from dsum_bench.store import reader

        alike = [
            r
            for r in reader.runs(self.database)
            if r.row.status == "done"
            and any(s.n == r.row.n_samples for s in r.scores)
            and _setup(r.row) == _setup(record.row)
        ]
        own = next((r for r in alike if r.row.run_id == record.row.run_id), None)
        return own or max(alike, key=lambda r: (r.row.n_samples, r.row.finished), default=None)


def _setup(row: BoardRow) -> tuple[object, ...]:
    params = tuple(sorted((name, str(value)) for name, value in row.decoding_params.items()))
    return row.model, row.treatment, row.prompt, row.prompt_digest, row.decoding, params, row.seed


def _array(scores: Sequence[Sequence[float]]) -> Floats:
    import numpy as np

    return np.asarray(scores, dtype=np.float64)
