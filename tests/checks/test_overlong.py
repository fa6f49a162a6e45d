"""What metrics did not look at is told."""

from __future__ import annotations

from dsum_bench.checks.base import Check
from dsum_bench.checks.outputs import Overlong
from dsum_bench.metrics.bounds import LONGEST_SUMMARY
from dsum_bench.testing import CheckRules, make_written


class TestRules(CheckRules):
    check: type[Check] = Overlong
    faulty = make_written(["네.", "가" * (LONGEST_SUMMARY + 5)])
    clean = make_written(["네.", "가" * LONGEST_SUMMARY])


def test_what_was_left_out_is_counted() -> None:
    found = Overlong().after(TestRules.faulty)
    assert found is not None
    assert (found.hit, found.total) == (1, 2) and "5 characters were left out" in found.text
