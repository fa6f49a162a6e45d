"""Checks of the characters and turns of dialogues, references and summaries."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence

from dsum_bench.characters import accidents, oddities
from dsum_bench.checks.base import Check, RunOutputs, share
from dsum_bench.dialogue import split_turns
from dsum_bench.spec import Finding, RunSpec, Sample

FEW = 0.02
"""Below this share of the samples, odd characters move a mean by less than its rounding: a note."""
LONG = 80
"""Characters from which a dialogue of one turn is taken for one whose speakers are not recognised."""
SINGLE = 0.1


class OddCharacters(Check):
    """Texts hold characters that metrics take for others than the reader sees."""

    name = "odd-characters"
    mark = "U"
    level = "warning"
    meaning = "characters that look like others"
    controls = True

    def data(self, run: RunSpec, samples: Sequence[Sample]) -> Finding | None:
        return self._told(
            {"dialogues": [s.dialogue for s in samples], "references": ["\n".join(s.references) for s in samples]},
            "models read and metrics count them as other characters than the usual ones",
        )

    def after(self, written: RunOutputs) -> Finding | None:
        return self._told(
            {"summaries": [o.summary for o in written.outputs.values()]},
            "metrics do not match them with the usual ones, so these summaries score too low",
        )

    def _told(self, texts: dict[str, list[str]], why: str) -> Finding | None:
        parts, hit, total = [], 0, 0
        for what, each in texts.items():
            kinds = [oddities(text) for text in each]
            count = sum(map(bool, kinds))
            if count:
                parts.append(f"{count} of {len(each)} {what} ({_counted(kinds)})")
            if count >= hit:
                hit, total = count, len(each)
        if not parts:
            return None
        return self.found(
            f"unusual characters in {' and '.join(parts)}: {why}; scores are those of the texts as they are. Write "
            "the texts in NFC (unicodedata.normalize), without zero-width characters and in half width",
            hit,
            total,
            "note" if hit < FEW * total else None,
        )


class Repaired(Check):
    """NUL characters or byte order marks were taken out of texts."""

    name = "repaired"
    mark = "J"
    level = "note"
    meaning = "NUL or BOM removed"
    controls = True

    def data(self, run: RunSpec, samples: Sequence[Sample]) -> Finding | None:
        return self._told([s.repaired for s in samples], "dialogues or references")

    def after(self, written: RunOutputs) -> Finding | None:
        return self._told([accidents(o.generation.text) for o in written.outputs.values()], "summaries")

    def _told(self, taken: Sequence[Sequence[str]], what: str) -> Finding | None:
        hit = sum(map(bool, taken))
        if not hit:
            return None
        return self.found(
            f"{share(hit, len(taken))} had characters in their {what} that are not text ({_counted(taken)}); they were "
            "taken out, since Mecab stops reading at a NUL: find out where the file got them",
            hit,
            len(taken),
        )


class OneTurn(Check):
    """Dialogues are a single turn, because their speakers are not recognised."""

    name = "one-turn"
    mark = "Y"
    level = "warning"
    meaning = "speakers not recognised"

    def data(self, run: RunSpec, samples: Sequence[Sample]) -> Finding | None:
        single = [s for s in samples if _seems_unsplit(s)]
        if len(single) < SINGLE * len(samples):
            return None
        first = single[0].dialogue.replace("\n", " ")
        return self.found(
            f"{share(len(single), len(samples))} are one turn, because no speaker is recognised in them (sample "
            f"{single[0].id}: '{first[:40]}'): LEAD-3 is the whole dialogue, and trimming cuts text instead of turns; "
            "write each turn on its own line as 'NAME: words', or say in the dataset's entry what a turn begins with: "
            "turns = 'REGEX'",
            len(single),
            len(samples),
        )


def _seems_unsplit(sample: Sample) -> bool:
    if len(split_turns(sample.dialogue, sample.turns)) > 1:
        return False
    return len(sample.dialogue) >= LONG or "\n" in sample.dialogue


def _counted(kinds: Iterable[Sequence[str]]) -> str:
    """``NUL in 3, byte order mark in 1``."""
    counts = Counter(kind for each in kinds for kind in each)
    return ", ".join(f"{kind} in {count}" for kind, count in counts.items())


CHECKS: tuple[type[Check], ...] = (OddCharacters, Repaired, OneTurn)
