"""Predicates of a Korean text and whether they are negated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from dsum_bench.metrics.morphemes import Morpheme


@dataclass(frozen=True, slots=True)
class Predicate:
    """stem: of the verb, or the noun before 하다. negated: an even number of negations is none. index: morpheme."""

    stem: str
    negated: bool
    index: int


def predicates(morphemes: Sequence[Morpheme]) -> list[Predicate]:
    """Verbs and adjectives with their polarity.

    Negations are ``안``, ``못``, ``-지 않다``, ``-지 못하다``, ``-지 말다``, ``-ㄹ 수 없다`` and ``없다``.
    """
    found = []
    for i, m in enumerate(morphemes):
        made = m.tag in ("XSV", "XSA")
        if m.tag not in ("VV", "VA") and not (made and i):
            continue
        after = [x.form for x in morphemes[i + 1 : i + 7]]
        before = morphemes[max(0, i - 2 if made else i - 1) : i]
        negations = int(any(x.tag == "MAG" and x.form in ("안", "못") for x in before))
        negations += _long_form(after)
        negations += "수" in after[:4] and any(form.startswith("없") for form in after[1:6])
        stem = morphemes[i - 1].form if made else m.form
        if stem == "없":
            stem, negations = "있", negations + 1
        if not (stem == "있" and i and morphemes[i - 1].form == "수"):  # counted with its verb
            found.append(Predicate(stem, negations % 2 == 1, i))
    return found


def _long_form(after: Sequence[str]) -> bool:
    """``-지 않``, ``-지 못하``, ``-지 말`` right after a verb, an ending or a particle between allowed."""
    for k, form in enumerate(after[:2]):
        if form == "지":
            return any(x.startswith(("않", "못", "말", "마")) for x in after[k + 1 : k + 3])
    return False
