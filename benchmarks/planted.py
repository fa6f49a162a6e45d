"""Errors of fact planted into Korean summaries. It knows nothing of how the metric ``facts`` reads them."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Plant = Callable[[str, str, random.Random], "str | None"]
"""From a summary, its dialogue and a source of chance to the summary with one error; None where there is no place."""

TAG = re.compile(r"#Person(\d+)#")


def listed(words: str) -> list[str]:
    """The words of a list."""
    return words.split()


COUNTED = "명|개|번|가지|달|주|시간|잔|병|그릇|권|장|살|마리|대|곳|단계|층|마디|문장"
NATIVE = ("두", "세", "네", "다섯", "여섯", "일곱", "여덟", "아홉", "열")
MONEY = "원|달러|위안|유로|파운드|엔"
DAYS = ("어제", "오늘", "내일", "모레")
HOURS = ("한", "두", "세", "네", "다섯", "여섯", "일곱", "여덟", "아홉", "열")

KOREAN = listed(
    """
    가람 건우 경민 규리 나영 다온 도연 동욱 라희 명수 미르 보람 상우 서진 선호 성민 소영 수호 승아 아인 예림
    용준 우진 윤아 은채 인혜 재희 정아 주원 진혁 채원 태오 하랑 해솔 현주 혜원 희철
    """
)
SURNAMES = "구 금 나 남 도 류 마 반 방 변 석 설 여 우 원 위 육 은 인 제"
FOREIGN = listed(
    """
    글로리아 니콜 대니얼 로저 마르코 베로니카 사만다 안드레아 오스카 칼 클로이 테오 파블로 펠릭스 하비에르
    """
)
LATIN = listed(
    """
    Abigail Boris Claudia Desmond Esther Fiona Gregor Hilda Ivan Joyce Kirsten Lionel Marvin Nadia Otto Percy
    """
)

OWN = listed(
    """
    오세진 수아 민재 도현 조민석 태형 정우 문성호 유정아 하린 지호 현우 소피 유진 한지수 상혁 김도현 박서연
    강민재 윤지호 준영 하율 보리 정다은 오정훈 시우 유나 지안 성호 최은경 신혜림 배수진 민규 하은 마이클 노태식
    은수 권영미 임소라 소윤 재현 준호 오민재 콩이 윤서진 응우옌 조현우 Linda 유정 선미 수빈
    """
)
"""Names in the summaries of samples-ko, read off by hand."""

NO_NAMES = {"아니", "여보", "그래", "맞아", "좋", "엄마", "아빠", "얘들", "애들", "친구", "누구", "뭐"}


@dataclass(frozen=True, slots=True)
class Place:
    """Where a summary can be changed, and into what."""

    start: int
    end: int
    others: Sequence[str]


def _changed(summary: str, places: Sequence[Place], rng: random.Random) -> str | None:
    places = [p for p in places if p.others]
    if not places:
        return None
    place = rng.choice(places)
    return summary[: place.start] + rng.choice(place.others) + summary[place.end :]


def _digits(written: str, rng: random.Random) -> list[str]:
    """A number of as many digits, another one."""
    for _ in range(20):
        new = "".join(rng.choice("123456789" if i == 0 else "0123456789") if c.isdigit() else c
                      for i, c in enumerate(written))  # fmt: skip
        if new != written:
            return [new]
    return []


def number(summary: str, dialogue: str, rng: random.Random) -> str | None:
    """Another number, in digits or in words, that is neither money nor time."""
    digits = rf"(?<![\d#A-Za-z,.:])\d[\d,]*(?![\d#]|\s?(?:[만천백억]|시|분|월|일|년|:|{MONEY}))"
    places = [Place(m.start(), m.end(), _digits(m.group(), rng)) for m in re.finditer(digits, summary)]
    for m in re.finditer(rf"(?<![가-힣])({'|'.join(NATIVE)}) ?(?:{COUNTED})(?![가-힣]{{2}})", summary):
        places.append(Place(m.start(1), m.end(1), [n for n in NATIVE if n != m.group(1)]))
    return _changed(summary, places, rng)


def amount(summary: str, dialogue: str, rng: random.Random) -> str | None:
    """Another amount of money."""
    money = rf"(\d[\d,]*)(?:\.\d+)?(?: ?[만천백억]+)?(?: ?\d+[만천백]+)? ?(?:{MONEY})"
    places = [Place(m.start(1), m.end(1), _digits(m.group(1), rng)) for m in re.finditer(money, summary)]
    return _changed(summary, places, rng)


def time(summary: str, dialogue: str, rng: random.Random) -> str | None:
    """Another hour, weekday, day, date or half of the day."""
    places = []
    for m in re.finditer(r"(?<!\d)(\d{1,2})시(?!간)", summary):
        places.append(Place(m.start(1), m.end(1), [str(h) for h in range(1, 13) if str(h) != m.group(1)]))
    for m in re.finditer(rf"(?<![가-힣])({'|'.join(HOURS)}) 시(?!간)", summary):
        places.append(Place(m.start(1), m.end(1), [h for h in HOURS if h != m.group(1)]))
    for m in re.finditer("([월화수목금토일])요일", summary):
        places.append(Place(m.start(1), m.end(1), [d for d in "월화수목금토일" if d != m.group(1)]))
    for m in re.finditer(rf"(?<![가-힣])({'|'.join(DAYS)})(?![가-힣]*날)", summary):
        places.append(Place(m.start(1), m.end(1), [d for d in DAYS if d != m.group(1)]))
    for m in re.finditer(r"(?<!\d)(\d{1,2})[월일](?![가-힣]{2})", summary):
        places.append(Place(m.start(1), m.end(1), [str(h) for h in range(1, 13) if str(h) != m.group(1)]))
    for m in re.finditer("(오전|오후)", summary):
        places.append(Place(m.start(1), m.end(1), ["오후" if m.group(1) == "오전" else "오전"]))
    return _changed(summary, places, rng)


def name(summary: str, dialogue: str, rng: random.Random) -> str | None:
    """Another name, in the script of the one that stands there: of a person whom the dialogue does not know."""
    hangul = {n for n in OWN if n in dialogue}
    hangul |= set(re.findall(r"(?<![가-힣])([가-힣]{2,4}?)(?= 씨[,!?. ])", dialogue))
    hangul |= set(re.findall(r"(?:^|[.,!?:] )([가-힣]{2,3})[야아][,!?.]", dialogue, re.MULTILINE)) - NO_NAMES
    latin = {n for n in re.findall("[A-Z][a-z]{2,}", dialogue) if n != "Person"}
    new_hangul, new_latin = ([n for n in pool if n not in dialogue] for pool in (KOREAN + FOREIGN, LATIN))
    places = []
    for one in sorted(hangul):
        others = [s + n for s in SURNAMES.split() for n in KOREAN] if len(one) == 3 and one in OWN else new_hangul
        for m in re.finditer(rf"(?<![가-힣A-Za-z]){one}이?({PARTICLE})?(?![가-힣])", summary):
            places.append(Place(m.start(), m.end(), [n + _after(n, m.group(1) or "") for n in others]))
    for one in sorted(latin):
        places += [
            Place(m.start(), m.end(), new_latin) for m in re.finditer(rf"(?<![A-Za-z]){one}(?![A-Za-z])", summary)
        ]
    return _changed(summary, places, rng)


PAIRS = ("은는", "이가", "을를", "과와")
PARTICLE = "은|는|이|가|을|를|과|와|에게|의|도|만|께"


def _after(name: str, particle: str) -> str:
    """A particle as it is after a name: its first form after a consonant."""
    closed = (ord(name[-1]) - ord("가")) % 28 > 0
    for pair in PAIRS:
        if particle and particle in pair:
            return pair[0] if closed else pair[1]
    return particle


def tag(summary: str, dialogue: str, rng: random.Random) -> str | None:
    """A speaker who is not there."""
    count = len(set(TAG.findall(dialogue)))
    others = [f"#Person{count + n}#" for n in (1, 2, 3)]
    return _changed(summary, [Place(m.start(), m.end(), others) for m in TAG.finditer(summary)], rng)


def mask(summary: str, dialogue: str, rng: random.Random) -> str | None:
    """A mask that is not there, in place of the last word but one."""
    masks = ("#PhoneNumber#", "#Email#", "#Address#", "#CardNumber#", "#DateOfBirth#")
    others = [m + "에" for m in masks if m not in dialogue]
    words = list(re.finditer(r"\S+", summary))
    return _changed(summary, [Place(w.start(), w.end(), others) for w in words[-2:-1] if "#" not in w.group()], rng)


ADDED = (
    (r"기로 (합니다|했습니다|한다|했다|결정)", r"지 않기로 \1"), ("할 수 있", "할 수 없"), ("있다고", "없다고"),
    (r"합니다\.", "하지 않습니다."), (r"했습니다\.", "하지 않았습니다."), (r"한다\.", "하지 않는다."),
    (r"했다\.", "하지 않았다."), (r"됩니다\.", "되지 않습니다."), (r"줍니다\.", "주지 않습니다."),
    ("하고,", "하지 않고,"),
    ("한다고 ", "하지 않는다고 "), ("하고 싶", "하고 싶지 않"), ("했다고 ", "하지 않았다고 "),
    ("하겠다고 ", "하지 않겠다고 "),
)  # fmt: skip
REMOVED = (
    ("하지 않습니다", "합니다"), ("하지 않는다", "한다"), ("하지 않았습니다", "했습니다"), ("하지 않았다", "했다"),
    ("하지 않고", "하고"), ("하지 않아", "해"), ("하지 않을", "할"), ("하지 않은", "한"), ("하지 않겠다", "하겠다"),
    ("하지 못해", "해"), ("하지 못하", "하"), ("할 수 없", "할 수 있"), ("없다고", "있다고"), ("없어", "있어"),
    ("없음", "있음"),
    (r"(?<![가-힣])[안못] (?=[가-힣])", ""), ("지 말라고", "라고"), ("지 않기로", "기로"), ("싶지 않", "싶"),
)  # fmt: skip


def _by_rules(summary: str, rules: Sequence[tuple[str, str]], rng: random.Random) -> str | None:
    places = []
    for pattern, new in rules:
        places += [Place(m.start(), m.end(), [m.expand(new)]) for m in re.finditer(pattern, summary)]
    return _changed(summary, places, rng)


def negated(summary: str, dialogue: str, rng: random.Random) -> str | None:
    """A sentence that now denies what it said."""
    return _by_rules(summary, ADDED, rng)


def affirmed(summary: str, dialogue: str, rng: random.Random) -> str | None:
    """A sentence that has lost its negation."""
    return _by_rules(summary, REMOVED, rng)


def swapped(summary: str, dialogue: str, rng: random.Random) -> str | None:
    """The first two speakers changed for each other everywhere."""
    first, second = _two(dialogue)
    new = summary.replace(first, "\0").replace(second, first).replace("\0", second) if first else summary
    return new if new != summary else None


def moved(summary: str, dialogue: str, rng: random.Random) -> str | None:
    """One statement given to the other speaker: a subject changed where the summary has both."""
    first, second = _two(dialogue)
    if not first or first not in summary or second not in summary:
        return None
    places = [
        Place(m.start(), m.end(), [second if m.group() == first else first])
        for m in re.finditer(f"{first}|{second}", summary)
        if re.match("[은는이가]", summary[m.end() : m.end() + 1])
    ]
    return _changed(summary, places, rng)


def _two(dialogue: str) -> tuple[str, str]:
    tags = list(dict.fromkeys(re.findall(r"^(#Person\d+#)", dialogue, re.MULTILINE)))
    return (tags[0], tags[1]) if len(tags) > 1 else ("", "")


PLANTS: dict[str, tuple[str, Plant]] = {
    "another number": ("numbers", number),
    "another amount": ("numbers", amount),
    "another time": ("times", time),
    "another name": ("names", name),
    "an invented speaker": ("tags", tag),
    "an invented mask": ("tags", mask),
    "negation added": ("polarity", negated),
    "negation removed": ("polarity", affirmed),
    "speakers swapped": ("speakers", swapped),
    "one statement moved": ("speakers", moved),
}
"""What was planted, the measure that should see it, and how."""
