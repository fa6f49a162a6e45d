"""Negation in a summary that the dialogue does not bear out."""

from __future__ import annotations

import re
from collections.abc import Sequence

from dsum_bench.metrics.facts.predicates import Predicate
from dsum_bench.metrics.facts.reading import Reading, content_words
from dsum_bench.metrics.facts.words import listed
from dsum_bench.metrics.morphemes import Morpheme

REPORTS = listed(
    """
    말 묻 질문 제안 권하 권유 추천 조언 요청 부탁 설명 이야기 동의 대답 답 소개 안내 알려 알리 결정 논의 전하
    주장 언급 확인 요구 말씀 문의 제공 칭찬 축하 위로 격려 설득 초대 감사 사과 걱정 불평 표현 인사 답하 청하
    밝히
    """
)
"""What summaries report that somebody does; that somebody does not do it is seldom worth a summary."""

NEGATIVE = re.compile(r"(?<![가-힣])안 |(?<![가-힣])못|않|없|아니|싫|모르|몰라|말고|지 마|지 말|거절|힘들|어렵|어려")

PRIOR, REPORTED, UNHEARD, UNLIKE, BORNE_OUT = 0.5, 2.0, 1.0, 0.5, 1.5
"""Weights, set by hand, of doubts about a negation: about any; of a report; without a negative turn around; without one
in the turn that fits best; and what is taken off where the dialogue negates that verb too."""
DENIED, DENIED_HERE = 0.5, 0.5
"""Of doubts about an affirmation: the dialogue only ever negates that verb; and does so in the turn that fits best."""


def doubt(predicate: Predicate, morphemes: Sequence[Morpheme], reading: Reading) -> float | None:
    """What speaks against a predicate's polarity: positive where the dialogue does not bear it out, negative where it
    does. None for an affirmation that the dialogue does not deny."""
    denied = predicate.stem in reading.denied
    if not predicate.negated and (not denied or predicate.stem in reading.affirmed or predicate.stem in REPORTS):
        return None
    near = _turns_about(content_words(morphemes[max(0, predicate.index - 8) : predicate.index + 1]), reading)
    heard = [bool(NEGATIVE.search(reading.turns[i].text)) for i in near]
    likely = bool(heard) and heard[0]
    if not predicate.negated:
        return DENIED + DENIED_HERE * likely
    total = PRIOR + REPORTED * (predicate.stem in REPORTS) + UNHEARD * (not any(heard)) + UNLIKE * (not likely)
    return total - BORNE_OUT * denied


def _turns_about(words: frozenset[str], reading: Reading) -> list[int]:
    """The two turns that share most with words, the best first, and those that follow them."""
    shared = [sum(reading.weights[w] for w in words & turn.words) for turn in reading.turns]
    best = sorted(range(len(shared)), key=lambda i: -shared[i])[:2]
    return [*best, *(i + 1 for i in best if i + 1 < len(shared))]
