"""Numbers, amounts and times in Korean text, normalised so that ``세 시 반`` and ``3시 30분`` are the same."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass

from dsum_bench.dialogue import TAG
from dsum_bench.metrics.facts.numerals import BETWEEN, NUMERAL, native, sino
from dsum_bench.metrics.facts.words import listed

UNITS: dict[str, str] = {
    word: kind
    for kind, words in {
        "clock": "시",
        "minute": "분",
        "second": "초",
        "hour": "시간",
        "day": "일 일간",
        "week": "주 주일 주간",
        "months": "달 개월",
        "month": "월",
        "year": "년 해 년간 주년",
        "age": "살 세",
        "person": "명 사람 인 식구 가족 남매 형제 자매 친구 팀 학생",
        "ordinal": "번째 째 등 위 차",
        "floor": "층",
        "room": "호 호실",
        "line": "호선 번선",
        "grade": "학년 급 학기",
        "won": "원 원대 원짜리",
        "dollar": "달러 불",
        "yuan": "위안",
        "euro": "유로",
        "yen": "엔",
        "cent": "센트",
        "percent": "퍼센트 프로 %",
        "kilogram": "킬로그램 킬로 kg",
        "metre": "미터 m",
        "kilometre": "킬로미터 km",
        "centimetre": "센티미터 센티 cm",
        "fold": "배",
        "degree": "도",
        "thing": "개 가지 번 회 차례 마리 대 권 벌 켤레 잔 병 그릇 접시 조각 송이 포기 장 통 편 곡 건 줄 상자 "
        "박스 세트 쌍 과목 문장 글자 페이지 쪽 인분 단계 군데 곳 단어 종류 자리 개국 매 "
        "판 승 패 연패 골 점 평 박 갑 끼 시간째",
    }.items()
    for word in words.split()
}
"""What follows a number, and what kind of number that makes it. Units of one kind are the same."""

DAYS = {
    "하루": 1, "이틀": 2, "사흘": 3, "나흘": 4, "닷새": 5, "엿새": 6, "이레": 7, "여드레": 8, "아흐레": 9, "열흘": 10,
    "보름": 15,
}  # fmt: skip
WEEKDAYS = "월화수목금토일"
RELATIVE = {"그저께": -2, "그제": -2, "어제": -1, "어젯밤": -1, "오늘": 0, "내일": 1, "모레": 2, "글피": 3}
MORNING, EVENING = "am", "pm"
HALVES = {"오전": MORNING, "아침": MORNING, "새벽": MORNING, "오후": EVENING, "저녁": EVENING, "밤": EVENING}

ALIKE = {"ordinal": ("thing",), "thing": ("ordinal", "person"), "person": ("thing",)}
"""Kinds whose units are used for one another."""
SIGNS = {"$": "dollar", "€": "euro"}

TIMES = frozenset({"clock", "minute", "day", "month", "weekday", "relative", "half", "year"})
"""Kinds that are times; all others are numbers."""

_long = "|".join(sorted((re.escape(u) for u in UNITS if len(u) > 1), key=len, reverse=True))
_short = "".join(re.escape(u) for u in UNITS if len(u) == 1)
_PARTICLE = "(?=[은는이가을를에의로와과도만까부정쯤씩짜째간동후전내마밖뒤인입였라든치]|(?![가-힣]))"
_UNIT = re.compile(rf"\s?({_long}|[{_short}]{_PARTICLE})")
_OTHER_WORD = re.compile("두통|세대|서명|조사|이해|사이|오해|구매|열차|한세")
"""Words that look like a numeral and a unit."""
_AFTER_SINGLE = listed(
    """
    년 개월 주일 층 학년 퍼센트 프로 인분 분 원 달러 위안 월
    """
)
_DAYS = re.compile(rf"(?<![가-힣])(?:{'|'.join(DAYS)})(?![빨살])")
_WEEKDAY = re.compile(rf"([{WEEKDAYS}])요일")
_RELATIVE = re.compile(rf"(?<![가-힣])(?:{'|'.join(sorted(RELATIVE, key=len, reverse=True))})")
_COLON = re.compile(r"(?<!\d)(\d{1,2}):(\d{2})(?!\d)")
_HALF = re.compile(rf"(?<![가-힣])({'|'.join(HALVES)})(?!새|[가-힣]*식사)")
_HALF_BEFORE = re.compile(rf"({'|'.join(HALVES)})(?:에)?\s*$")
_THIRTY = re.compile(rf"\s?반{_PARTICLE}")
_FRACTION = re.compile(r"\s?분의")
_POINT = re.compile(r"[가-힣\d]")


@dataclass(frozen=True, slots=True)
class Quantity:
    """kind: see UNITS; '' for a number without a unit that is known. value: in that unit (a weekday 0 for Monday, a
    relative day from today). half: of the day, for a clock time that says so, else ''. text: as written."""

    kind: str
    value: float
    text: str
    start: int
    half: str = ""


def quantities(text: str) -> list[Quantity]:
    """Everything countable in a text, tags and masks left out."""
    bare = TAG.sub(lambda tag: " " * len(tag.group()), text)
    found = [*_named(bare), *_numerals(bare)]
    return sorted(found, key=lambda q: q.start)


def _named(text: str) -> Iterator[Quantity]:
    """Days, weekdays, halves of the day and clock times with a colon."""
    for m in _DAYS.finditer(text):
        yield Quantity("day", DAYS[m.group()], m.group(), m.start())
    for m in _WEEKDAY.finditer(text):
        yield Quantity("weekday", WEEKDAYS.index(m.group(1)), m.group(), m.start())
    for m in _RELATIVE.finditer(text):
        yield Quantity("relative", RELATIVE[m.group()], m.group(), m.start())
    for m in _HALF.finditer(text):
        yield Quantity("half", 0.0, m.group(1), m.start(), HALVES[m.group(1)])
    for m in _COLON.finditer(text):
        hour, minute = int(m.group(1)), int(m.group(2))
        yield _clock(text, hour, m.group(), m.start())
        if minute:
            yield Quantity("minute", minute, m.group(), m.start())


def _numerals(text: str) -> Iterator[Quantity]:
    text = _COLON.sub(lambda m: " " * len(m.group()), text)
    for m in NUMERAL.finditer(text):
        word = m.group()
        if m.group("digits"):
            yield from _with_unit(text, (sino(word),), m)
        elif _POINT.match(text[m.start() - 1 : m.start()]):  # in the middle of a word
            continue
        elif m.group("between"):
            yield from _with_unit(text, BETWEEN[word], m)
        elif m.group("native"):
            yield from _with_unit(text, (native(word),), m)
        else:
            yield from _with_unit(text, (sino(word),), m)


def _with_unit(text: str, values: tuple[float, ...], m: re.Match[str]) -> Iterator[Quantity]:
    """The quantity of a numeral and its unit; nothing where the letters may be another word."""
    unit = _unit_after(text, m)
    kind = UNITS.get(unit, "")
    if m.group("native"):
        kind = {
            "minute": "person",
            "day": "",
            "age": "age" if unit == "살" else "",
            "clock": "clock" if values[0] <= 12 else "",
        }.get(kind, kind)
    if m.group("digits"):
        kind = SIGNS.get(text[m.start() - 1 : m.start()], kind)
    elif not kind:
        if m.group() in ("둘", "셋", "넷"):
            kind = "person"
        elif not (m.group("native") and len(m.group()) > 1 and values[0] > 4):
            return
    end = text.index(unit, m.end()) + len(unit)
    written = text[m.start() : end]
    for value in values:
        if kind == "clock":
            yield _clock(text, value, written, m.start())
        else:
            yield Quantity(kind, value, written, m.start())
    if kind in ("clock", "hour") and _THIRTY.match(text, end):
        yield Quantity("minute", 30, written + " 반", m.start())
        if kind == "hour":
            yield Quantity("hour", values[0] + 0.5, written + " 반", m.start())


def _unit_after(text: str, m: re.Match[str]) -> str:
    """The unit after a numeral, '' where there is none. A numeral of one letter (이, 사, 조) is mostly the beginning of
    another word, so that only a few units make it one."""
    found = _UNIT.match(text, m.end())
    if not found or _FRACTION.match(text, m.end()) or _OTHER_WORD.match(text, m.start()):
        return ""
    unit = found.group(1)
    single = m.group("sino") and len(m.group()) == 1 and m.group() not in "만천백십"
    if single and (unit not in _AFTER_SINGLE or (m.group() == "이" and found.group()[0] == " ")):
        return ""
    return unit


def _clock(text: str, hour: float, written: str, start: int) -> Quantity:
    """An hour modulo 12 with its half of the day, where it says one."""
    before = _HALF_BEFORE.search(text[max(0, start - 4) : start])
    half = HALVES[before.group(1)] if before else EVENING if 13 <= hour < 24 else ""
    return Quantity("clock", hour % 12, written, start, half)


@dataclass(frozen=True, slots=True)
class Known:
    """What a dialogue says in numbers, to look things up in. speakers: how many there are."""

    values: frozenset[tuple[str, float]]
    anywhere: frozenset[float]
    clocks: frozenset[tuple[float, str]]
    halves: frozenset[str]
    speakers: int = 0

    def supports(self, q: Quantity) -> bool:
        """Whether the dialogue says so: the same number with the same kind of unit, or where one has no unit."""
        if q.kind == "half":
            return q.half in self.halves or not self.halves
        if q.kind == "clock":
            alike = (not q.half or not half or q.half == half for h, half in self.clocks if h == q.value)
            return any(alike) or ("", q.value) in self.values
        if q.kind == "person" and q.value <= self.speakers:
            return True
        if not q.kind:
            return q.value in self.anywhere
        return any((kind, q.value) in self.values for kind in (q.kind, "", *ALIKE.get(q.kind, ())))


def known(found: list[Quantity], speakers: int = 0) -> Known:
    """What those quantities support, with their equals in other units (a week is seven days)."""
    values = {(q.kind, q.value) for q in found}
    values |= {("day", 7 * v) for k, v in values if k == "week"} | {("week", v / 7) for k, v in values if k == "day"}
    values |= {("months", 12 * v) for k, v in values if k == "year"}
    values |= {("year", v / 12) for k, v in values if k == "months"}
    return Known(
        frozenset(values),
        frozenset(v for _, v in values),
        frozenset((q.value, q.half) for q in found if q.kind == "clock"),
        frozenset(q.half for q in found if q.half),
        speakers,
    )


def weak(q: Quantity) -> bool:
    """Whether a quantity says too little to be checked: ``한 번``, ``한 사람``, or counts what the dialogue may list
    without a number: ``두 가지``, ``세 번째``."""
    if q.text[0] == "한":
        return q.kind in ("thing", "person", "ordinal", "")
    return q.value <= 4 and q.text.endswith(("가지", "번째")) and not q.text[0].isdigit()
