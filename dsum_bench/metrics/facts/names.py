"""Names in Korean texts."""

from __future__ import annotations

import re
from collections.abc import Sequence

from dsum_bench.metrics.facts.words import listed
from dsum_bench.metrics.morphemes import Analyser, Morpheme

TITLES = "씨|님|선생님|선생|대리|과장|부장|사장|팀장|실장|박사|교수|선배"
_TITLED = re.compile(rf"(?<![가-힣A-Za-z#])(?P<name>[가-힣]{{2,4}}?|[A-Za-z]+) ?(?:{TITLES})(?![가-힣]{{3}})")
ROLES = re.compile(
    "손|고객|선생|의사|간호사|기사|사장|주인|직원|부모|어머|아버|할머|할아버|형|누|언|오빠|아드|따|사모|여러분|매니저|담임|상담|교수|점원|면접"
    "|회장|이모|고모|삼촌|아주머|아저|아가|비서|감독|작가|배우|가수|변호사|경찰|담당|관리|환자|학생|회원|수강생|거래처|친구|그|저|이|하느|공주|왕자|스"
)
"""How words begin that stand before a title, and name a part that somebody plays."""

NOUNS = frozenset({"NNG", "NNP", "NNB", "NP", "UNKNOWN", "SL", "XSN", "XPN", "XR"})
LATIN_TITLES = frozenset({"mr", "mrs", "ms", "miss", "dr", "prof", "sir"})
SURNAMES = frozenset(
    "김이박최정강조윤장임한오서신권황안송류홍전고문양손배백허유남심노하곽성차주우구나민진지엄채원천방공현함변염여추도소석선설마길연위표명기"
    "반왕금옥육인맹제모탁국어은편용예경봉사부"
)
NOT_GIVEN = listed(
    """
    정보 일정 대화 상태 현재 경기 수리 인상 규정 경로 주택 방식 여성 남성 대중 기대 인기 계산 세균 학기 수익
    해석 구성 경우 상대 애정 기한 수송 점수 일화 선호 문화 현상 용도 형태 일부 성인 수강 선택 진실 신원 기원
    유형 예정 기억 승인 미래 지원 일상 동일 상기 인식 인정 재정 수정 수용 동기 병원 정리 승진 지연 대기 운영
    인하 우수 상실 완성 성장 진행 진학 채용 복용 근무 의상 종일 연구 주문 기회 자신 상황 정도 동의 조건 영화
    영어 여행 이유 시기 수준 인원 재현 주연 우승 이동 이상 의도 조정 조언 장소 주소 전화 정상 정장 수영 수술
    교수 지하 인사 의사 기사 은행 미용 성공 성적 성격 경험 경제 경찰 주인 주민 주차 주말 동료 동생 상사 회원
    환자 태도 수입 수업 재료 지도 지금 지방 세상 세금 서명 서류 서울 한국 중국 미국 영국 일본 민원
    """
)
"""Common nouns that look like given names."""
VERBAL = frozenset("하지가자에임성")
"""Syllables that make another word of a noun of two: ``사용하는`` is no Mr Sa."""
COMMONLY = 4
"""With how many of the usual surnames a dictionary knows a given name."""
_PARTICLED = re.compile(r"(?<![가-힣])([가-힣]{2,3})(?=(?:은|는|이|가|에게|께|한테|의|와|과|을|를|도)(?![가-힣]))")


def names(text: str, morphemes: Sequence[Morpheme], analyser: Analyser) -> list[tuple[str, int]]:
    """Names in a text with their places: proper nouns and words the dictionary lacks where a word begins, words in
    Latin letters, what stands before a title, and Korean given names, with or without a surname. Tags are no names."""
    found = {m.start: m.form for m in morphemes if _is_name(text, m)}
    for match in _TITLED.finditer(text):
        if (
            not ROLES.match(match["name"])
            and match["name"] not in TITLES.split("|")
            and _all_nouns(morphemes, match.start(), match.end("name"))
        ):
            found.setdefault(match.start(), match["name"])
    for match in _PARTICLED.finditer(text):
        if match.start() not in found and _is_korean(match.group(), analyser):
            found[match.start()] = match.group()
    return [(found[start], start) for start in sorted(found)]


def _is_korean(word: str, analyser: Analyser) -> bool:
    """Whether a word is a Korean name by its build: a given name, or a surname and a given name that are not a word."""
    if len(word) == 2:
        return word not in NOT_GIVEN and analyser.surnames(word) >= COMMONLY
    if word[0] not in SURNAMES or (word[2] in VERBAL and analyser.is_one_word(word[:2])) or analyser.is_one_word(word):
        return False
    return analyser.surnames(word[1:]) > 0


def _all_nouns(morphemes: Sequence[Morpheme], start: int, end: int) -> bool:
    return all(m.tag in NOUNS for m in morphemes if start <= m.start < end)


def _is_name(text: str, m: Morpheme) -> bool:
    if m.tag == "SL":
        return m.end - m.start > 1 and text[m.start].isupper() and m.form.lower() not in LATIN_TITLES
    whole = text[m.start : m.end] == m.form and not text[m.start - 1 : m.start].isalpha()
    return m.tag in ("NNP", "UNKNOWN") and m.end - m.start > 1 and whole and not m.form.endswith("니다")
