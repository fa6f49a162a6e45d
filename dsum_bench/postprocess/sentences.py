"""Steps about whole sentences."""

from __future__ import annotations

import re

from dsum_bench.postprocess.base import Postprocessor
from dsum_bench.spec import Sample

_END = re.compile(
    r"""(?:(?<![A-Z])|(?<=[A-Z]{3}))(?<!\b[A-Z][a-z])(?<!\b[A-Z][a-z]{2})(?<!\bvs)(?<!\betc)   # not 'J.', 'Mr.', 'Mrs.'
        [.!?。…]+["'”’)\]]*(?=\s|$)""",
    re.VERBOSE,
)
"""The end of a sentence: stops before white space or the end. ``3.5`` and ``v1.2`` have none."""
_FINISHED = re.compile(r"(?:[다요죠까네음함됨임]|[.!?。…])[\"'”’)\]]*$")
"""A last sentence without a full stop may be complete all the same: ``...했다``, ``...합니다``, ``...하기로 함``."""


def sentences(text: str) -> list[str]:
    """The sentences of a text with the white space after each; joined they are the text again."""
    found, start = [], 0
    for end in _END.finditer(text):
        after = end.end()
        while after < len(text) and text[after].isspace():
            after += 1
        found.append(text[start:after])
        start = after
    return [*found, text[start:]] if start < len(text) else found


class Unfinished(Postprocessor):
    """A last sentence without an end goes, where another is before it."""

    name = "unfinished"

    def __call__(self, summary: str, sample: Sample) -> str:
        found = sentences(summary)
        if len(found) < 2 or _FINISHED.search(found[-1].rstrip()):
            return summary
        return "".join(found[:-1]).rstrip()


class Repeats(Postprocessor):
    """A sentence that stands there already goes, whatever its spaces, case and stops."""

    name = "repeats"

    def __call__(self, summary: str, sample: Sample) -> str:
        found = sentences(summary)
        kept: dict[str, str] = {}
        for number, sentence in enumerate(found):
            plain = "".join(c for c in sentence.casefold() if c.isalnum() or c == "#")
            kept.setdefault(plain or str(number), sentence)
        return summary if len(kept) == len(found) else "".join(kept.values()).rstrip()
