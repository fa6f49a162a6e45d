"""Which speaker a summary says something of, and whether it was that one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from dsum_bench.metrics.facts.acts import ACTS
from dsum_bench.metrics.facts.reading import Reading, content_words
from dsum_bench.metrics.facts.words import listed
from dsum_bench.metrics.morphemes import SPEAKER_TAG, Morpheme

SUBJECT = listed(
    """
    은 는 이 가 도 만 께서 께서는
    """
)
JOINT = listed(
    """
    와 과 이랑 랑 하고 및 ,
    """
)

STATED, FIRST, CLASH, CARRIED = 0.2, 0.1, 2.0, 0.5
"""Weights, set by hand: a word that only this speaker says; one that this speaker says first; a tag and a name for the
same person in one summary; and a sentence without a subject, which goes on with the last one's."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Something said of one speaker. speaker: the tag. carried: whether the sentence names no subject itself."""

    speaker: str
    text: str
    start: int
    morphemes: tuple[Morpheme, ...]
    carried: bool


def claims(text: str, morphemes: Sequence[Morpheme], names: Mapping[str, str]) -> list[Claim]:
    """A summary cut before every subject that is a speaker. What two speakers do together is nobody's alone, and is
    left out. names: from a name to the tag of the one who bears it."""
    found: list[Claim] = []
    subject, carried, part = "", False, list[Morpheme]()

    def close() -> None:
        if subject and part:
            found.append(Claim(subject, text[part[0].start : part[-1].end], part[0].start, tuple(part), carried))

    for i, morpheme in enumerate(morphemes):
        who = names.get(morpheme.form, morpheme.form if morpheme.tag == SPEAKER_TAG else "")
        if who and i + 1 < len(morphemes) and morphemes[i + 1].form in SUBJECT:
            close()
            subject, carried, part = "" if _joint(morphemes, i, names) else who, False, []
            continue
        if morpheme.tag != SPEAKER_TAG and (part or morpheme.form not in SUBJECT):  # not the subject's own particle
            part.append(morpheme)
        if morpheme.tag == "SF":
            close()
            carried, part = True, []
    close()
    return found


def _joint(morphemes: Sequence[Morpheme], i: int, names: Mapping[str, str]) -> bool:
    """Whether the subject at i is one of several: ``#Person1#과 #Person2#는``."""
    if i < 2 or morphemes[i - 1].form not in JOINT:
        return False
    before = morphemes[i - 2]
    return before.tag == SPEAKER_TAG or before.form in names


def evidence(claim: Claim, reading: Reading) -> float:
    """For (positive) or against (negative) that it was this speaker and no other; 0 where nothing tells."""
    words = content_words(claim.morphemes)
    acts = [act for act in ACTS if act.reported.search(claim.text)]
    asks = any(act.name == "ask" for act in acts)
    total = 0.0
    for word in words & reading.weights.keys():
        weight = reading.weights[word]
        total += FIRST * weight * (1 if reading.first_by[word] == claim.speaker else -1)
        counts = reading.said_by[word]
        said = counts[claim.speaker, asks]
        theirs = sum(count for (_, asked), count in counts.items() if asked == asks) - said
        if said + theirs:
            total += STATED * weight * (said - theirs) / (said + theirs)
    others = max(1, len(reading.speakers) - 1)
    for act in acts:
        cues = reading.cues[act.name]
        mine = cues.get(claim.speaker, 0.0)
        other = (sum(cues.values()) - mine) / others
        total += act.weight * (mine - other) / (mine + other + 1)
    return total * (CARRIED if claim.carried else 1.0)


def clashes(text: str, reading: Reading) -> list[str]:
    """Names of speakers whose tags the summary has too: one person under two names, hence two in one role."""
    return [name for name, tag in reading.names.items() if tag in text and name in text and name not in tag]
