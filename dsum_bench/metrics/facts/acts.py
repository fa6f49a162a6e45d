"""What people do by speaking, how a summary reports it, and how it shows in what they say."""

from __future__ import annotations

import re
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Act:
    """reported: in a summary. cue: in a turn of the one who does it; None where the length of the turns is the sign.
    weight: how much it tells; set by hand, in steps of a half."""

    name: str
    reported: re.Pattern[str]
    cue: re.Pattern[str] | None
    weight: float = 1.0


def _act(name: str, weight: float, reported: str, cue: str | None) -> Act:
    return Act(name, re.compile(reported), re.compile(cue) if cue else None, weight)


ACTS = (
    _act("ask", 2.0, "묻|물어|질문|문의|궁금|여쭤|여쭙|알아보|확인하려", r"\?"),
    _act(
        "request", 1.5,
        "부탁|요청|청하|청합|요구|주문|달라|신청|빌리|사려|구매|구입|사고 싶|예약",
        r"주세요|주실|부탁|줘[.?!]|줄래|주시겠|주시면|좀 |싶은데|싶어요|원해|할게요|있나요|있어요\?|가능",
    ),
    _act(
        "suggest", 0.5,
        "제안|권하|권유|추천|조언|충고|제의|설득|초대|하자고|라고 말|권합|권한|권해",
        r"어때|하자|자[.!?]|까\?|까요\?|보세요|봐[.!]|보는 게|좋겠|게 좋|추천|야 해|야 돼|야지|세요[.!]|필요",
    ),
    _act("thank", 4.0, "감사|고마", "감사|고마"),
    _act("apologise", 4.0, "사과|미안|죄송", "미안|죄송|잘못"),
    _act(
        "agree", 0.5,
        "동의|수락|승낙|받아들|찬성|응하|응합|공감|허락|승인|기로 ?결정|기로 합|기로 한|기로 했",
        "^ ?(?:그래|좋아|네|응|알겠|맞아|물론|그럼|당연|알았|그렇)",
    ),
    _act("refuse", 1.0, "거절|반대|거부|사양|부정|싫|않|못|없", "아니|싫|안 |못|없|않"),
    _act(
        "tell", 3.0,
        "대답|답하|답변|답합|설명|알려|안내|소개|조언|추천|말하|말합|말한|이야기|전하|밝히|공유|가르쳐|주장|확인해|보여|제공",
        None,
    ),
    _act(
        "serve", 1.0, "돕|도와|안내|응대|서비스|제공|처리|판매|팔",
        "도와드|드릴|드리겠|드려|손님|고객|여기 있|어서 오|무엇을|어떻게 오",
    ),
    _act(
        "want", 1.5,
        "싶|원하|원한|원합|바라|필요|찾|고민|걱정|불평|호소|어려|힘들|아프|계획|예정|려고",
        "싶|원해|필요|찾고|걱정|힘들|아프|아파|어려|려고|거예요|거야|예정|나는|저는|제가|내가|나 |전 |난 ",
    ),
    _act("self", 1.0, "자신|본인|자기", "나는|저는|제가|내가|나 |내 |제 |전 |난 |우리"),
    _act(
        "praise", 2.0, "칭찬|축하|격려|위로|응원|감탄|부러",
        "축하|대단|훌륭|멋지|멋있|잘했|잘 했|괜찮아|걱정 마|걱정하지|힘내|최고|놀랍|부럽|예쁘",
    ),
    _act("learn", 1.5, "듣|들었|알게|배우|이해|깨닫|얻|받", r"\?|그렇구나|그렇군|그래요|정말|아하|진짜|몰랐"),
)  # fmt: skip

LENGTH = 60
"""Characters of a turn that count as one sign of telling."""


def cue_count(act: Act, text: str) -> float:
    """Signs of an act in what one turn says."""
    return len(text) / LENGTH if act.cue is None else len(act.cue.findall(text))
