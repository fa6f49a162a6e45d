"""Which speaker bears a name: what speakers call themselves and each other."""

from __future__ import annotations

import re
from collections.abc import Sequence

from dsum_bench.metrics.facts.names import ROLES, TITLES
from dsum_bench.metrics.facts.words import listed

_SELF = re.compile(
    r"(?:저는|제 이름은|나는|이름은|저,|난|전) (?P<a>[가-힣]{2,4}?|[A-Z][a-z]+)"
    r"(?:입니다|이에요|예요|라고|이라고|이고요|이야|인데)"
    r"|(?:^|[.!?,] )(?P<b>[가-힣]{3}|[A-Z][a-z]+)(?:입니다|이에요|예요|라고 합니다|이라고 합니다|이고요)[.!?,]"
)
_CALLED = re.compile(
    rf"(?:^|[.,!?…] ?|안녕하세요,? |안녕,? |여보세요,? |고마워요?,? |그래,? |네,? |야,? )"
    rf"(?:(?:Mr|Mrs|Ms|Dr)\.? |Miss |미스터 |미스 )?"
    rf"(?P<name>[A-Z][a-z]+|[가-힣]{{2,4}}?)(?:(?P<title> ?(?:{TITLES}))|(?P<call>야|아|이)?)(?=[,!?.])"
)


def addressed(turns: Sequence[tuple[str, str]], speakers: Sequence[str]) -> dict[str, str]:
    """From a name to the speaker who bears it. A name that a speaker gives as his own is his; one that a speaker calls
    belongs to the other, where only two speak. A name that would belong to both is left out."""
    found: dict[str, set[str]] = {}
    for speaker, text in turns:
        for match in _SELF.finditer(text):
            found.setdefault(match["a"] or match["b"], set()).add(speaker)
        if len(speakers) == 2:
            other = next(s for s in speakers if s != speaker)
            for match in _CALLED.finditer(text):
                sure = match["title"] or match["call"] or match["name"].isascii()
                if sure and not ROLES.match(match["name"]) and match["name"] not in _NO_NAMES:
                    found.setdefault(match["name"], set()).add(other)
    return {name: next(iter(owners)) for name, owners in found.items() if len(owners) == 1}


_NO_NAMES = listed(
    """
    OK Okay Yes No Oh Hello Hi Well Thank Thanks Bye 그거 여기 저기 거기 얘들 맞 좋 많 같
    """
)
