"""How long a summary is to be, fitted to the summaries of a split."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from statistics import fmean, linear_regression

from dsum_bench.errors import UserError
from dsum_bench.spec import LengthRule, Sample

ENOUGH = 10
"""Summaries from which a line is fitted."""
SHARE_DIGITS, BASE_DIGITS = 4, 1


def fitted(rule: LengthRule, samples: Sequence[Sample]) -> LengthRule:
    """The line of least squares from the length of a dialogue to that of its summaries (of several, their mean), both
    in characters; least and most are the 5 % and 95 % quantiles of the summaries.

    Raises:
        UserError: too few samples have a summary.
    """
    pairs = [(len(s.dialogue), fmean(map(len, s.references))) for s in samples if s.references]
    if len(pairs) < ENOUGH:
        raise UserError(
            f"{len(pairs)} samples of split '{rule.fit}' have summaries; a length is fitted to {ENOUGH} or more"
        )
    dialogues, summaries = zip(*pairs, strict=True)
    ordered = sorted(summaries)
    least, most = (round(ordered[round(share * (len(ordered) - 1))]) for share in (0.05, 0.95))
    if len(set(dialogues)) == 1:
        slope, base = 0.0, fmean(summaries)
    else:
        slope, base = linear_regression(dialogues, summaries)
    return replace(
        rule, base=round(base, BASE_DIGITS), share=round(slope, SHARE_DIGITS), least=max(least, 1), most=max(most, 1)
    )
