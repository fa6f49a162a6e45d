"""What a tokenizer's chat template puts around a message, found by rendering it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dsum_bench.adapters.rendering import render

MESSAGE = "0123456789"
"""Stands for what a user or assistant says; no template cuts or changes it."""


@dataclass(frozen=True, slots=True)
class Frame:
    """opening: the text right before what the user says. header: what stands between the user's words and the
    answer, the assistant's header included. end: what follows the answer. bos: whether the template writes BOS."""

    opening: str
    header: str
    end: str
    bos: bool


def frame(tokenizer: Any, arguments: Mapping[str, object] | None = None) -> Frame | None:
    """The frame of a tokenizer's chat template; None where it has none, or one that cannot be rendered so."""
    if not getattr(tokenizer, "chat_template", None):
        return None
    user = {"role": "user", "content": MESSAGE}
    asked = _render(tokenizer, [user], arguments, add_generation_prompt=True)
    if asked is None or MESSAGE not in asked:
        return None
    before, _, header = asked.rpartition(MESSAGE)
    instructed = _render(tokenizer, [{"role": "system", "content": "9"}, user], arguments, add_generation_prompt=True)
    opening = _common_end(before, instructed.rpartition(MESSAGE)[0]) if instructed else before
    bos = tokenizer.bos_token or ""
    return Frame(
        opening.removeprefix(bos), header, _end(tokenizer, user, arguments), bool(bos) and before.startswith(bos)
    )


def _end(tokenizer: Any, user: dict[str, str], arguments: Mapping[str, object] | None) -> str:
    answer = MESSAGE[::-1]
    answered = _render(tokenizer, [user, {"role": "assistant", "content": answer}], arguments)
    return answered.rpartition(answer)[2] if answered and answer in answered else ""


def _render(
    tokenizer: Any, messages: list[dict[str, str]], arguments: Mapping[str, object] | None, **more: object
) -> str | None:
    try:
        return render(tokenizer, messages, **{**(arguments or {}), **more})
    except Exception:  # a template is somebody else's code; what it raises is its own
        return None


def _common_end(a: str, b: str) -> str:
    count = 0
    while count < min(len(a), len(b)) and a[-count - 1] == b[-count - 1]:
        count += 1
    return a[len(a) - count :]
