"""Steps about what stands around a summary: spaces, quotes, announcements."""

from __future__ import annotations

import re

from dsum_bench.postprocess.base import Postprocessor
from dsum_bench.spec import Sample

_QUOTES = str.maketrans("“”„‟〝〞‘’‚‛", '""""""' + "''''")
_BEFORE_STOP = re.compile(r"(?<=[^\s.,!?…]) +(?=[.,!?…](?:\s|$))")

_KIND = r"(?:최종[ ]?|간단[ ]?|한[ ]?(?:문장|줄)[ ]?)?(?:대화(?:문)?[ ]?)?(?:내용[ ]?)?"
_LABEL = rf"{_KIND}(?:요약(?:문|본|결과)?|summary|tl;?dr)"
_COURTESY = r"(?:(?:네|예|물론입니다|물론이죠|알겠습니다|sure|certainly|of[ ]course|okay)[,.!][ ]*)?"
_META = re.compile(
    rf"""\s*{_COURTESY}(?:
        (?:다음은|아래는|이것은)[ ][^.\n:：]{{0,40}}?
        요약(?:한[ ](?:것|내용|글|문장)|문|본|결과)?(?:이다|입니다|이에요)?[ ]*(?:[.:：]|$)
      | (?:위[ ])?대화(?:를|[ ]내용을)[ ]요약하면[ ]다음과[ ]같(?:다|습니다)[ ]*[.:：]
      | (?:here(?:'s|[ ]is)|(?:the[ ]following|below)[ ]is)[ ][^.\n:]{{0,60}}?summar[^.\n:]{{0,40}}(?::|$)
      | (?:\[{_LABEL}\]|【{_LABEL}】|<{_LABEL}>)[ ]*[:：]?
      | {_LABEL}(?:은[ ]다음과[ ]같(?:습니다|다))?[ ]*[:：]
    )[ ]*""",
    re.VERBOSE | re.IGNORECASE | re.MULTILINE,
)
"""``요약:``, ``[요약]``, ``물론입니다! 다음은 대화를 요약한 내용입니다:``, ``Here is a summary of the dialogue:``."""
_MARKUP = re.compile(r"\*\*|__(?=\S)|(?<=\S)__|^[ \t]*(?:[-*•][ \t]+|#{2,6}[ \t]+|>[ \t]+)", re.MULTILINE)
_PAIRS = {'"': '"', "'": "'", "“": "”", "‘": "’", "「": "」", "『": "』", "`": "`"}


class Spaces(Postprocessor):
    """White space becomes single spaces, none before a full stop or comma; typographic quotes become straight ones."""

    name = "spaces"

    def __call__(self, summary: str, sample: Sample) -> str:
        return _BEFORE_STOP.sub("", " ".join(summary.translate(_QUOTES).split()))


class Meta(Postprocessor):
    """What announces a summary (``요약:``, ``Here is a summary:``), Markdown marks, and quotes around all of it go."""

    name = "meta"

    def __call__(self, summary: str, sample: Sample) -> str:
        while (made := self._once(summary)) != summary:
            summary = made
        return summary

    def _once(self, text: str) -> str:
        plain = _MARKUP.sub("", text).strip()
        said = plain[found.end() :].strip() if (found := _META.match(plain)) else plain
        said = _without_quotes(said)
        return said if said else text


def _without_quotes(text: str) -> str:
    """text without quotes that hold all of it; quotes inside it stay."""
    closing = _PAIRS.get(text[:1])
    inner = text[1:-1]
    if len(text) > 2 and closing and text.endswith(closing) and text[0] not in inner and closing not in inner:
        return inner.strip()
    return text
