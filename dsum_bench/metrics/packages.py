"""Stored ROUGE scores computed again by the packages whose definitions they follow."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from dsum_bench.errors import UserError

Values = tuple[float, float, float]
Recompute = Callable[[Sequence[str], Sequence[str]], Values | None]
"""From the tokens of a summary and of one reference to the F1 of ROUGE-1, -2 and -L, each x 100; None where the
package gives no value."""


def recompute(metric: str) -> Recompute:
    """What package computes a metric's definition. metric: ``rouge`` or ``rouge-score``.

    Raises:
        UserError: the package is not installed, or another one has its name.
    """
    return _rouge() if metric == "rouge" else _rouge_score()


def _rouge() -> Recompute:
    try:
        from rouge import Rouge

        package = Rouge()
    except (ImportError, TypeError) as error:
        raise UserError(f"package 'rouge' cannot be used ({error}): pip install rouge==1.0.1 (not py-rouge)") from None

    def values(ours: Sequence[str], theirs: Sequence[str]) -> Values | None:
        try:
            (found,) = package.get_scores(" ".join(ours), " ".join(theirs))
        except (ValueError, RecursionError):  # empty texts, full stops alone, and long texts
            return None
        return 100 * found["rouge-1"]["f"], 100 * found["rouge-2"]["f"], 100 * found["rouge-l"]["f"]

    return values


class _Joined:
    """Gives rouge-score the tokens it is handed, joined by a character no text holds."""

    def tokenize(self, text: str) -> list[str]:
        return text.split("\0") if text else []


def _rouge_score() -> Recompute:
    try:
        from rouge_score.rouge_scorer import RougeScorer
    except ImportError:
        raise UserError("package 'rouge-score' is not installed: pip install rouge-score") from None
    scorer: Any = RougeScorer(["rouge1", "rouge2", "rougeL"], tokenizer=_Joined())

    def values(ours: Sequence[str], theirs: Sequence[str]) -> Values:
        found = scorer.score("\0".join(theirs), "\0".join(ours))
        return 100 * found["rouge1"].fmeasure, 100 * found["rouge2"].fmeasure, 100 * found["rougeL"].fmeasure

    return values
