"""Korean numerals as numbers: ``스물두``, ``2억 3천만``, ``16만 5천``, ``열두``."""

from __future__ import annotations

import re

SINO = {c: n for n, c in enumerate("영일이삼사오육칠팔구")} | {"공": 0, "륙": 6}
SMALL = {"십": 10, "백": 100, "천": 1000}
LARGE = {"만": 10**4, "억": 10**8, "조": 10**12}
TENS = {
    "열": 10, "스물": 20, "스무": 20, "서른": 30, "마흔": 40, "쉰": 50, "예순": 60, "일흔": 70, "여든": 80, "아흔": 90
}  # fmt: skip
ONES = {
    "하나": 1, "한": 1, "둘": 2, "두": 2, "셋": 3, "세": 3, "석": 3, "서": 3, "넷": 4, "네": 4, "넉": 4, "너": 4,
    "다섯": 5, "닷": 5, "여섯": 6, "엿": 6, "일곱": 7, "여덟": 8, "아홉": 9,
}  # fmt: skip
BETWEEN = {"한두": (1, 2), "두세": (2, 3), "두어": (2, 3), "서너": (3, 4), "너덧": (4, 5), "대여섯": (5, 6)}
"""Numerals that leave it open: what they say is true of either number."""

_tens, _ones = "|".join(TENS), "|".join(sorted(ONES, key=len, reverse=True))
_digit, _magnitude = "[일이삼사오육륙칠팔구영공]", "[십백천만억조]"
_hundreds = f"(?:{_digit}?{_magnitude}+)+{_digit}?"
DIGITS = r"\d{1,3}(?:,\d{3})+(?:\.\d+)?|\d+(?:\.\d+)?"
NUMERAL = re.compile(
    rf"""(?P<between>{"|".join(BETWEEN)})
       | (?P<digits>(?:{DIGITS})(?:\ ?{_magnitude}+)?(?:(?<={_magnitude})\ ?(?:{DIGITS}|{_digit}){_magnitude}+)*)
       | (?P<native>(?:{_tens})(?:{_ones})?|{_ones})
       | (?P<sino>{_hundreds}(?:(?<={_magnitude})\ {_hundreds})*|{_digit})
    """,
    re.VERBOSE,
)
"""A numeral; whether it is one is decided by what stands before and after it."""


def native(word: str) -> float:
    """``스물두`` -> 22."""
    for ten, value in TENS.items():
        if word.startswith(ten):
            return value + ONES.get(word[len(ten) :], 0)
    return ONES[word]


def sino(word: str) -> float:
    """Digits, numerals and magnitudes: ``2억 3천만`` -> 230,000,000, ``삼십`` -> 30, ``만`` -> 10,000."""
    total = section = 0.0
    pending: float | None = None
    for part in re.findall(rf"{DIGITS}|\S", word):
        if part in SMALL:
            section += (1 if pending is None else pending) * SMALL[part]
            pending = None
        elif part in LARGE:
            section += pending or 0
            total += (section or 1) * LARGE[part]
            section, pending = 0.0, None
        elif part in SINO:
            pending = SINO[part] if pending is None else 10 * pending + SINO[part]
        else:
            pending = float(part.replace(",", ""))
    return total + section + (pending or 0)
