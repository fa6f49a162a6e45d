"""Checks of summaries against their references: too like them, those of other rows, or unlike them as a whole."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from math import sqrt
from statistics import fmean, median, stdev

from dsum_bench.characters import canonical_text
from dsum_bench.checks.base import Check, RunOutputs, share
from dsum_bench.dialogue import TAG
from dsum_bench.spec import Finding, Level

ENOUGH = 8
"""From so many samples on, what is said of their mean holds."""
EQUAL = 0.1
AGREEMENT = 55.0
"""Two people's summaries of one dialogue agree at about 55: mean of ROUGE-1, -2 and -L on morphemes, DialogSum-ko."""
IMPOSSIBLE = 80.0
SPREAD = 10.0
"""Points by which data and people differ: the two references of samples-ko, of one author, agree at 64."""
AGREEING = 200
"""Samples from which the agreement of references is measured."""
SHIFTS = (1, -1, 2, -2, 3, -3)
SURE = 4.0
"""Standard errors by which another row's reference must fit better: of six shifts, none does so by chance."""
MARGIN = 1.2
CLEARLY = 0.8
"""Share of letters in another script; a Korean sentence may hold many Latin names."""
LACKING = 0.02
USUAL = 0.5
SEEN = 20
LONGER = 4.0


class TooGood(Check):
    """Summaries are their references, or agree with them as no two people do."""

    name = "too-good"
    mark = "g"
    level = "warning"
    meaning = "too good to be true"
    controls = True

    def after(self, written: RunOutputs) -> Finding | None:
        equal = [i for i, o in written.outputs.items() if _is_reference(o.summary, written.samples[i].references)]
        total = len(written.outputs)
        if len(equal) > 1 and len(equal) >= EQUAL * total:
            return self.found(
                f"the summaries of {share(len(equal), total)} are references word by word: the references stand where "
                "the summaries should (another column of the file?), or the model was trained on these dialogues",
                len(equal),
                total,
                "error",
            )
        for signature, values in written.values.items():
            if not signature.startswith("rouge"):
                continue  # people's agreement is known by ROUGE; other metrics may be near their top for anybody
            means = [v["mean"] for v in values.values() if "mean" in v]
            if len(means) < ENOUGH:
                continue
            people = self._agreement(written, signature)
            most = people if people is not None else AGREEMENT if "|tok:mecab" in signature else IMPOSSIBLE
            mean = fmean(means)
            if mean <= most:
                continue
            level: Level = "error" if mean > IMPOSSIBLE else "warning" if mean > most + SPREAD else "note"
            whose = "the references of this data agree" if people is not None else "two people's summaries agree"
            return self.found(
                f"its mean is {mean:.1f}, and {whose} at about {most:.0f} ({signature}): look whether references or "
                "training data got into the summaries",
                level=level,
            )
        return None

    @staticmethod
    def _agreement(written: RunOutputs, signature: str) -> float | None:
        """Mean that the references of the data get from each other; None where samples have one."""
        metric = next((m for m in written.metrics if m.signature == signature), None)
        several = [s for s in written.samples.values() if len(s.references) > 1][:AGREEING]
        if metric is None or len(several) < ENOUGH:
            return None
        others = [
            (text, replace(s, references=s.references[:i] + s.references[i + 1 :]))
            for s in several
            for i, text in enumerate(s.references)
        ]
        return fmean(metric.score(text, sample)["mean"] for text, sample in others)


def _is_reference(summary: str, references: Sequence[str]) -> bool:
    text = canonical_text(summary)
    return bool(text) and any(text == canonical_text(r) for r in references)


class Shifted(Check):
    """Summaries fit the references of other rows better than their own."""

    name = "shifted"
    mark = "h"
    level = "error"
    meaning = "summaries of other rows"

    def after(self, written: RunOutputs) -> Finding | None:
        rows = [(written.outputs[i].summary, s.references) for i, s in written.samples.items() if i in written.outputs]
        rows = [row for row in rows if row[0].strip() and row[1]]
        if len(rows) < ENOUGH:
            return None
        summaries = [_pieces(text) for text, _ in rows]
        references = [[_pieces(r) for r in texts] for _, texts in rows]
        own = [_fit(s, r) for s, r in zip(summaries, references, strict=True)]
        for shift in SHIFTS:
            other = [_fit(s, references[(i + shift) % len(rows)]) for i, s in enumerate(summaries)]
            gaps = [b - a for a, b in zip(own, other, strict=True)]
            error = stdev(gaps) / sqrt(len(gaps))
            if fmean(other) > MARGIN * fmean(own) and fmean(gaps) > SURE * error:
                way = f"{abs(shift)} row{'s' if abs(shift) > 1 else ''} {'further on' if shift > 0 else 'before'}"
                return self.found(
                    f"the summaries fit the references {way} better than their own ({100 * fmean(other):.0f} against "
                    f"{100 * fmean(own):.0f} % of shared pairs of characters): rows were shifted when ids and "
                    "summaries were put together",
                    sum(gap > 0 for gap in gaps),
                    len(gaps),
                )
        return None


def _pieces(text: str) -> frozenset[str]:
    """Pairs of neighbouring characters, without tags and white space, which all summaries share."""
    flat = "".join(TAG.sub(" ", text).split())
    return frozenset(flat[i : i + 2] for i in range(len(flat) - 1))


def _fit(summary: frozenset[str], references: Sequence[frozenset[str]]) -> float:
    """Share of common pairs (Dice), for the reference that fits best."""
    return max(2 * len(summary & r) / (len(summary) + len(r) or 1) for r in references)


class UnlikeReferences(Check):
    """Summaries are of another script, lack the tags, or have another length than the references."""

    name = "unlike-references"
    mark = "u"
    level = "warning"
    meaning = "unlike the references as a whole"

    def after(self, written: RunOutputs) -> Finding | None:
        pairs = [
            (o.summary, written.samples[i].references)
            for i, o in written.outputs.items()
            if o.summary.strip() and written.samples[i].references
        ]
        if len(pairs) < ENOUGH:
            return None
        return self._other_script(pairs) or self._lacking(pairs) or self._other_length(pairs)

    def _other_script(self, pairs: Sequence[tuple[str, Sequence[str]]]) -> Finding | None:
        scripts = [(_script(summary, CLEARLY), {_script(r) for r in references}) for summary, references in pairs]
        other = [ours for ours, theirs in scripts if ours and theirs - {""} and ours not in theirs]
        if len(other) < 0.05 * len(pairs):
            return None
        most = max(set(other), key=other.count)
        return self.found(
            f"the summaries of {share(len(other), len(pairs))} are in another script than their references (most in "
            f"{most}): no metric can match them; tell the model which language to write",
            len(other),
            len(pairs),
            "error" if len(other) >= 0.5 * len(pairs) else None,
        )

    def _lacking(self, pairs: Sequence[tuple[str, Sequence[str]]]) -> Finding | None:
        for what, has in (("speaker tags or masks", _has_tag), ("Latin letters", _has_latin)):
            named = [summary for summary, references in pairs if all(map(has, references))]
            there = sum(map(has, named))
            if len(named) < max(USUAL * len(pairs), ENOUGH) and len(named) < SEEN:
                continue
            if there <= LACKING * len(named):
                return self.found(
                    f"{share(len(named), len(pairs))} have references with {what}, and {there} of their summaries have "
                    "any: something on the way removed them (skip_special_tokens, a ban on tokens, post-processing), "
                    "or the model was not told to keep them",
                    len(named) - there,
                    len(pairs),
                )
        return None

    def _other_length(self, pairs: Sequence[tuple[str, Sequence[str]]]) -> Finding | None:
        ratios = [len(summary) / median(map(len, references)) for summary, references in pairs]
        middle = median(ratios)
        if 1 / LONGER <= middle <= LONGER:
            return None
        how = "longer" if middle > 1 else "shorter"
        times = middle if middle > 1 else 1 / middle
        return self.found(
            f"summaries are {times:.1f} times {how} than their references (median, in characters): say in the prompt "
            "how long a summary is, or look for what cuts outputs",
            sum(not 1 / LONGER <= ratio <= LONGER for ratio in ratios),
            len(ratios),
        )


def _has_tag(text: str) -> bool:
    return TAG.search(text) is not None


def _has_latin(text: str) -> bool:
    return any(c.isascii() and c.isalpha() for c in text)


def _script(text: str, least: float = 0.5) -> str:
    """The script of more than this share of the letters outside tags, '' where none is."""
    counts: dict[str, int] = {}
    for c in TAG.sub("", text):
        if c.isalpha():
            name = _SCRIPTS.get(ord(c) >> 8) or ("Latin" if ord(c) < 0x250 else "another script")
            counts[name] = counts.get(name, 0) + 1
    most = max(counts, key=lambda name: counts[name], default="")
    return most if most and counts[most] > least * sum(counts.values()) else ""


def _blocks(ranges: Mapping[str, Sequence[tuple[int, int]]]) -> dict[int, str]:
    return {high: name for name, parts in ranges.items() for first, last in parts for high in range(first, last + 1)}


_SCRIPTS = _blocks(
    {"Hangul": [(0x11, 0x11), (0xAC, 0xD7)], "Chinese characters": [(0x34, 0x9F), (0xF9, 0xFA)], "Cyrillic": [(4, 5)]}
)
"""Scripts by the upper byte of a character's number, as far as a block lies in one; kana counts as another script."""

CHECKS: tuple[type[Check], ...] = (TooGood, Shifted, UnlikeReferences)
