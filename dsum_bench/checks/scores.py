"""Checks of the scores: against a control, against each other, and against what can be."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import fmean

from dsum_bench.checks.base import Check, RunOutputs, Values
from dsum_bench.metrics.base import Metric
from dsum_bench.spec import Finding
from dsum_bench.statistics.constant import LEVEL, MARK, MEASURE, NAME, against_constant

SMALL = 1e-6


class NotAboveConstant(Check):
    """The model is not better than one sentence for every dialogue."""

    name = NAME
    mark = MARK
    level = LEVEL
    meaning = "not above the constant control"
    stored = False

    def after(self, written: RunOutputs) -> list[Finding]:
        found: list[Finding | None] = []
        for signature, theirs in written.constants.items():
            ours = written.values.get(signature, {})
            ids = [i for i in theirs if i in ours and MEASURE in ours[i] and MEASURE in theirs[i]]
            if written.complete and len(ids) == len(written.samples):
                mine = [ours[i][MEASURE] for i in ids]
                found += against_constant([mine], [theirs[i][MEASURE] for i in ids], signature)
        return [finding for finding in found if finding]


class RougeShape(Check):
    """ROUGE-L stands to ROUGE-1 as it cannot, or hardly can."""

    name = "rouge-shape"
    mark = "G"
    level = "warning"
    meaning = "impossible ROUGE values"
    controls = True

    def after(self, written: RunOutputs) -> list[Finding]:
        found = (self._of(signature, _means(values)) for signature, values in written.values.items())
        return [finding for finding in found if finding]

    def _of(self, signature: str, means: Mapping[str, float]) -> Finding | None:
        r1, rl = means.get("rouge1"), means.get("rougeL")
        if r1 is None or rl is None or r1 < 1:
            return None
        if rl > r1 + SMALL:
            return self.found(
                f"ROUGE-L {rl:.2f} is more than ROUGE-1 {r1:.2f}, which no text can have ({signature}): the values "
                "are mixed up or their metric is broken",
                level="error",
                signature=signature,
            )
        if rl < r1 / 2:
            return self.found(
                f"ROUGE-L {rl:.2f} is less than half of ROUGE-1 {r1:.2f} ({signature}): on real Korean text it "
                "lies between 0.7 and 1 times; look for values in the wrong column",
                signature=signature,
            )
        return None


class Sum(Check):
    """A sum or mean does not follow from its parts."""

    name = "sum"
    mark = "M"
    level = "error"
    meaning = "sum differs from its parts"
    controls = True

    def after(self, written: RunOutputs) -> list[Finding]:
        found = (self._of(signature, _means(values)) for signature, values in written.values.items())
        return [finding for finding in found if finding]

    def _of(self, signature: str, means: Mapping[str, float]) -> Finding | None:
        if not {"rouge1", "rouge2", "rougeL"} <= means.keys():
            return None
        total = means["rouge1"] + means["rouge2"] + means["rougeL"]
        for name, expected in (("sum", total), ("mean", total / 3)):
            if abs(means.get(name, expected) - expected) > 1e-3:
                return self.found(
                    f"its {name} is {means[name]:.2f}, but ROUGE-1, -2 and -L give {expected:.2f} ({signature})",
                    signature=signature,
                )
        return None


class CharacterTokens(Check):
    """A metric counts characters though its signature says words or morphemes."""

    name = "character-tokens"
    mark = "Z"
    level = "error"
    meaning = "metric fell back to characters"
    controls = True

    def after(self, written: RunOutputs) -> list[Finding]:
        texts = [r for s in written.samples.values() for r in s.references][:50]
        return [
            self.found(
                f"{metric.signature} cuts references into single characters, though it is not named for that: its "
                "analyser does not work here, and its scores are far too high",
                signature=metric.signature,
            )
            for metric in written.metrics
            if _falls_back(metric, texts)
        ]


def _falls_back(metric: Metric, texts: list[str]) -> bool:
    tokenizer = metric.tokenizer
    if tokenizer is None or "char" in tokenizer.name:
        return False
    tokens = [t for text in texts for t in tokenizer(text)]
    return bool(tokens) and sum(len(t) == 1 for t in tokens) > 0.95 * len(tokens)


def _means(values: Values) -> Mapping[str, float]:
    measures = {m for v in values.values() for m in v}
    return {m: fmean(v[m] for v in values.values() if m in v) for m in measures}


CHECKS: tuple[type[Check], ...] = (NotAboveConstant, RougeShape, Sum, CharacterTokens)
