"""The same name in Hangul and in Latin letters."""

from __future__ import annotations

from collections.abc import Collection

_SKELETON = {
    **dict.fromkeys("ㄱㄲㅋ", "k"), **dict.fromkeys("ㄷㄸㅌ", "t"), **dict.fromkeys("ㅂㅃㅍ", "p"),
    **dict.fromkeys("ㅈㅉㅊ", "c"), **dict.fromkeys("ㅅㅆ", "s"), "ㄹ": "l", "ㅁ": "m", "ㄴ": "n", "ㅎ": "h",
    **dict.fromkeys("gkqx", "k"), **dict.fromkeys("dt", "t"), **dict.fromkeys("bpfv", "p"),
    **dict.fromkeys("jz", "c"), "c": "k", "s": "s", "r": "l", "l": "l", "m": "m", "n": "n", "h": "h",
}  # fmt: skip
_INITIALS = "ㄱㄲㄴㄷㄸㄹㅁㅂㅃㅅㅆㅇㅈㅉㅊㅋㅌㅍㅎ"
_FINALS = " ㄱㄲㄱㄴㄴㄴㄷㄹㄱㅁㅂㅅㅌㅍㅎㅁㅂㅂㅅㅆㅇㅈㅊㅋㅌㅍㅎ"


def has_name(lower: str, name: str, proper: Collection[str]) -> bool:
    """Whether a dialogue has a name, be it in the other script.

    lower: the dialogue in lower case. proper: its proper nouns.
    """
    if name.lower() in lower:
        return True
    bones = skeleton(name)
    return len(bones) > 1 and any(skeleton(p) == bones and p.isascii() != name.isascii() for p in proper)


def skeleton(name: str) -> str:
    """The consonants of a name by where they are formed, so that ``줄리아`` and ``Julia`` are the same: ``cl``."""
    bones = ""
    for character in name.lower().replace("ch", "j").replace("sh", "s").replace("ph", "p").replace("ck", "k"):
        if "가" <= character <= "힣":
            index = ord(character) - ord("가")
            letters = _INITIALS[index // 588] + _FINALS[index % 28]
        else:
            letters = character
        for letter in letters:
            bone = _SKELETON.get(letter, "")
            if bone != bones[-1:]:
                bones += bone
    return bones
