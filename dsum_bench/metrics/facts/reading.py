"""A dialogue as the facts of a summary are looked up in it: who says what, with which words."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from math import log

from dsum_bench.dialogue import SPEAKER, split_turns
from dsum_bench.metrics.facts.acts import ACTS, cue_count
from dsum_bench.metrics.facts.called import addressed
from dsum_bench.metrics.facts.predicates import predicates
from dsum_bench.metrics.facts.quantities import Known, known, quantities
from dsum_bench.metrics.facts.words import listed
from dsum_bench.metrics.morphemes import Analyser, Morpheme

CONTENT = frozenset({"NNG", "NNP", "UNKNOWN", "SL", "SN", "NR", "MM", "VV", "VA", "MAG", "XR"})
COMMON = listed(
    """
    하 되 있 것 수 없 같 이 그 저 좀 더 때 말 이야기 대화 위하 대하 통하 주 보 오 가 그렇 이렇 어떻 생각 씨 안
    못 한
    """
)
"""Words that nearly every turn or summary has."""


@dataclass(frozen=True, slots=True)
class Turn:
    """speaker: the tag or name before the colon, '' where a turn names nobody. words: its content words."""

    speaker: str
    text: str
    morphemes: tuple[Morpheme, ...]
    words: frozenset[str]
    asks: bool


def content_words(morphemes: Sequence[Morpheme]) -> frozenset[str]:
    """Dictionary forms of the words that carry meaning."""
    return frozenset(m.form for m in morphemes if m.tag in CONTENT and m.form not in COMMON)


class Reading:
    """A dialogue that has been read once and is asked many times; all parts are made when first asked for."""

    def __init__(self, dialogue: str, analyser: Analyser) -> None:
        self.text = dialogue
        self.lower = dialogue.lower()
        self.analyser = analyser

    @cached_property
    def turns(self) -> tuple[Turn, ...]:
        """The turns in order."""
        return tuple(self._turn(turn) for turn in split_turns(self.text))

    def _turn(self, turn: str) -> Turn:
        mark = SPEAKER.match(turn)
        speaker = re.sub(r"[\s:：]+$", "", mark.group()).strip() if mark else ""
        said = turn[mark.end() :] if mark else turn
        morphemes = tuple(self.analyser(said))
        return Turn(speaker, said, morphemes, content_words(morphemes), "?" in said)

    @cached_property
    def speakers(self) -> tuple[str, ...]:
        """Who speaks, in the order of their first turns."""
        return tuple(dict.fromkeys(turn.speaker for turn in self.turns if turn.speaker))

    @cached_property
    def known(self) -> Known:
        """Numbers, amounts and times of the dialogue."""
        return known(quantities(self.text), len(self.speakers))

    @cached_property
    def names(self) -> dict[str, str]:
        """Names of speakers, as far as the dialogue tells: from ``저는 오세진입니다`` and from how others call them."""
        return addressed([(turn.speaker, turn.text) for turn in self.turns], self.speakers)

    @cached_property
    def proper(self) -> frozenset[str]:
        """Proper nouns and words in Latin letters."""
        kinds = ("NNP", "UNKNOWN", "SL")
        return frozenset(m.form for turn in self.turns for m in turn.morphemes if m.tag in kinds)

    @cached_property
    def weights(self) -> dict[str, float]:
        """Words by what they tell: the fewer turns have one, the more."""
        counts = Counter(word for turn in self.turns for word in turn.words)
        return {word: log(1 + len(self.turns) / count) for word, count in counts.items()}

    @cached_property
    def said_by(self) -> dict[str, Counter[tuple[str, bool]]]:
        """For each word, in how many turns each speaker has it, statements and questions apart."""
        found: dict[str, Counter[tuple[str, bool]]] = {word: Counter() for word in self.weights}
        for turn in self.turns:
            for word in turn.words:
                found[word][turn.speaker, turn.asks] += 1
        return found

    @cached_property
    def first_by(self) -> dict[str, str]:
        """For each word, who has it first."""
        found: dict[str, str] = {}
        for turn in self.turns:
            for word in turn.words:
                found.setdefault(word, turn.speaker)
        return found

    @cached_property
    def cues(self) -> dict[str, dict[str, float]]:
        """For each speech act, how many signs of it each speaker gives."""
        found = {act.name: dict.fromkeys(self.speakers, 0.0) for act in ACTS}
        for turn in self.turns:
            for act in ACTS:
                if turn.speaker:
                    found[act.name][turn.speaker] += cue_count(act, turn.text)
        return found

    @cached_property
    def denied(self) -> frozenset[str]:
        """Stems of the predicates that some turn negates."""
        return frozenset(p.stem for turn in self.turns for p in predicates(turn.morphemes) if p.negated)

    @cached_property
    def affirmed(self) -> frozenset[str]:
        """Stems of the predicates that some statement has without a negation."""
        said = (turn.morphemes for turn in self.turns if not turn.asks)
        return frozenset(p.stem for morphemes in said for p in predicates(morphemes) if not p.negated)
