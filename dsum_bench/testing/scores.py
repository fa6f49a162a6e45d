"""What every metric, check and dataset format must keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import isfinite
from pathlib import Path
from typing import ClassVar, get_args

import pytest

from dsum_bench.checks.base import Check, RunOutputs, Setup
from dsum_bench.datasets.base import DatasetReader
from dsum_bench.errors import UserError
from dsum_bench.metrics.base import Metric, MetricTokenizer
from dsum_bench.spec import DatasetSpec, Finding, Level
from dsum_bench.testing.making import SAMPLES

ODD = ("", " ", "\n", "?", "#Person1#", "가" * 3000, "ab\ufffd", "😀", "네.\n네.")


class MetricRules:
    """Set ``metric``; ``tokenizer`` where it needs one.

    scale: smallest and largest value. identity: what a summary that is its reference scores; None where that says
    nothing (a length). tops: measures whose largest value, and that of identity, is another one (a sum).
    """

    metric: ClassVar[type[Metric]]
    tokenizer: ClassVar[MetricTokenizer | None] = None
    scale: ClassVar[tuple[float, float]] = (0.0, 100.0)
    identity: ClassVar[float | None] = 100.0
    tops: ClassVar[Mapping[str, float]] = {}

    def make(self) -> Metric:
        return self.metric(self.tokenizer)

    def test_it_has_a_signature_of_one_line(self) -> None:
        made = self.make()
        assert made.signature and "\n" not in made.signature
        assert made.signature == self.make().signature

    def test_any_text_has_finite_values_on_the_scale(self) -> None:
        made = self.make()
        low, high = self.scale
        for sample in (*SAMPLES, replace(SAMPLES[0], references=("",)), replace(SAMPLES[0], references=())):
            for text in (*ODD, *sample.references):
                values = made.score(text, sample)
                assert list(values) == list(self.metric.measures), "score does not give the measures it declares"
                assert all(isfinite(v) for v in values.values()), f"{text[:20]!r} has a value that is not finite"
                inside = (low - 1e-6 <= v <= self.tops.get(m, high) + 1e-6 for m, v in values.items())
                assert all(inside), f"{text[:20]!r} leaves the scale"

    def test_a_reference_scores_as_identical(self) -> None:
        if self.identity is None:
            pytest.skip("identity says nothing here")
        for sample in SAMPLES[:2]:
            values = self.make().score(sample.references[0], sample)
            assert values == pytest.approx({m: self.tops.get(m, self.identity) for m in values}, abs=1e-3)

    def test_the_order_of_samples_and_references_does_not_matter(self) -> None:
        alone = {s.id: self.make().score("#Person1#이 번호를 묻는다.", s) for s in SAMPLES}
        made = self.make()
        for sample in SAMPLES[::-1]:
            turned = replace(sample, references=sample.references[::-1])
            assert made.score("#Person1#이 번호를 묻는다.", turned) == pytest.approx(alone[sample.id]), "order matters"


class CheckRules:
    """Set ``check``, and a run it must find (``faulty``) and one it must not (``clean``): a ``Setup`` for ``before``,
    a ``RunOutputs`` (see ``make_written``) for ``after``."""

    check: ClassVar[type[Check]]
    faulty: ClassVar[Setup | RunOutputs]
    clean: ClassVar[Setup | RunOutputs]

    def look(self, run: Setup | RunOutputs) -> Finding | None:
        """What is found, the first where there is more."""
        made = self.check()
        found = made.before(run) if isinstance(run, Setup) else made.after(run)
        return found if found is None or isinstance(found, Finding) else next(iter(found), None)

    def test_it_can_be_shown(self) -> None:
        assert len(self.check.mark) == 1
        assert self.check.level in get_args(Level)
        assert self.check.meaning

    def test_it_finds_the_fault_and_says_so_in_one_line(self) -> None:
        finding = self.look(self.faulty)
        assert finding is not None, "the faulty run is not found"
        assert finding.check == self.check.name and finding.level in get_args(Level)
        assert finding.text and "\n" not in finding.text
        assert 0 <= finding.hit <= finding.total

    def test_it_leaves_a_good_run_alone(self) -> None:
        assert self.look(self.clean) is None, "the clean run is found"

    def test_a_run_without_outputs_is_no_fault(self) -> None:
        if isinstance(self.clean, RunOutputs):
            assert self.look(replace(self.clean, outputs={}, complete=False)) is None, "nothing written yet is a fault"


class DatasetRules:
    """Set ``reader``, the ``file`` to write with its ``text``, the ``path`` of a registry entry that finds it (both
    in a folder of the test's own), its ``split``, and the ``rows`` it must have."""

    reader: ClassVar[type[DatasetReader]]
    file: ClassVar[str]
    path: ClassVar[str]
    text: ClassVar[str]
    rows: ClassVar[Sequence[Mapping[str, object]]]
    split: ClassVar[str] = "dev"

    def make(self, folder: Path) -> DatasetReader:
        (folder / self.file).write_text(self.text, encoding="utf-8")
        return self.reader(DatasetSpec("test", self.reader.name, str(folder / self.path), origin="test"))

    def test_it_has_exactly_the_rows(self, tmp_path: Path) -> None:
        made = self.make(tmp_path)
        assert made.splits() == (self.split,)
        assert [dict(row.values) for row in made.rows(self.split)] == [dict(row) for row in self.rows]

    def test_it_reads_the_same_again(self, tmp_path: Path) -> None:
        made = self.make(tmp_path)
        assert list(made.rows(self.split)) == list(made.rows(self.split)), "a second reading differs"

    def test_every_row_says_where_it_stands(self, tmp_path: Path) -> None:
        places = [row.where for row in self.make(tmp_path).rows(self.split)]
        assert len(set(places)) == len(places) and all(self.file in place for place in places)

    def test_a_split_that_is_not_there_is_the_users_mistake(self, tmp_path: Path) -> None:
        made = self.make(tmp_path)
        with pytest.raises(UserError):
            list(made.rows("nowhere"))
