"""What a server's answer says. Pure: bytes in, an Answer or a fault out."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dsum_bench import Finish

ONLY_REASONING = "only reasoning came, no answer: raise max_new_tokens or switch thinking off"
NO_CONTENT = "the answer has no content"
TOOL_CALL = "a tool call came instead of an answer"
FILTERED = "the server's content filter"
UNSPOKEN = "no reason given"
TEXT_PARTS = ("text", "output_text")
LENGTH = ("length", "max_tokens", "max_output_tokens")
FILTER = ("content_filter", "refusal", "safety")
BROKEN_OFF = ("abort", "aborted", "cancelled", "error")


class Passing(Exception):
    """A fault that may pass.

    wait: seconds the server asked for, None when it said nothing. reached: whether anybody answered.
    rest: which requests must wait, ``none``, those to this ``server``, or those of this ``key``.
    silent: no answer came in time; the request may have been charged.
    """

    def __init__(
        self, what: str, wait: float | None = None, rest: str = "none", reached: bool = True, silent: bool = False
    ) -> None:
        super().__init__(what)
        self.wait = wait
        self.rest = rest
        self.reached = reached
        self.silent = silent


class Unreadable(Exception):
    """An answer that is of no use and would be the same again, such as one of 4 MB."""


class ErrorInside(Exception):
    """An error in an answer of status 200. status: the one it names, 0 for none."""

    def __init__(self, status: int, code: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.code = code


@dataclass(frozen=True, slots=True)
class Answer:
    """What a server wrote. Token counts are its own; 0 where it gives none.

    finish: ``refused`` when there will be no other answer to this request. note: what must be known of the answer,
    '' for nothing; a refusal's own words. model: the name it answered as, '' where it does not say.
    """

    text: str
    finish: Finish
    prompt_tokens: int = 0
    new_tokens: int = 0
    note: str = ""
    model: str = ""


def read(content: bytes, endpoint: str, limit: int = 0) -> Answer:
    """An answer's body. What is deterministic is an Answer, however empty.

    Args:
        endpoint: ``chat`` or ``completion``.
        limit: tokens that were allowed; they tell how an answer ended that does not say so itself. 0 is unknown.

    Raises:
        Passing: no JSON, or not just one finished choice. ErrorInside: an error in the place of an answer.
    """
    try:
        document = json.loads(content)
    except (ValueError, RecursionError):
        raise Passing("its answer is not JSON") from None
    if not isinstance(document, dict):
        raise Passing("its answer has no choices")
    choices = document.get("choices")
    if not choices:
        _raise_error(document, ("error", "detail", "message"))
    if not isinstance(choices, list) or not all(isinstance(c, dict) for c in choices):
        raise Passing("its answer has no choices")
    if len(choices) != 1:
        raise Passing(f"its answer has {len(choices)} choices instead of one")
    (choice,) = choices
    _raise_error(choice, ("error",))
    return _answer(choice, document, endpoint, limit)


def _answer(choice: Mapping[str, Any], document: Mapping[str, Any], endpoint: str, limit: int) -> Answer:
    said = choice.get("message") if endpoint == "chat" else {"content": choice.get("text")}
    if not isinstance(said, dict):
        raise Passing("its answer has no message")
    text, refusal = _content(said.get("content"))
    refusal = refusal or _string(said.get("refusal"))
    ended = choice.get("finish_reason")
    if ended in BROKEN_OFF:
        raise Passing(f"it broke its answer off ({ended})")
    if text is None and not refusal and not isinstance(ended, str):
        raise Passing("its answer has no finished text")
    usage = document.get("usage")
    new = _count(usage, "completion_tokens")
    if ended in LENGTH:
        finish: Finish = "length"
    elif ended in FILTER or refusal:
        finish = "refused"
    else:
        finish = "length" if ended is None and limit and new >= limit else "stop"
    note = (refusal or FILTERED) if finish == "refused" else _missing(text, said, usage)
    return Answer(text or "", finish, _count(usage, "prompt_tokens"), new, note, _string(document.get("model")))


def _content(content: object) -> tuple[str | None, str]:
    """(text, refusal) of a message's content, which is a string, a list of parts or nothing."""
    if content is None or isinstance(content, str):
        return content, ""
    if not isinstance(content, list):
        raise Passing("its answer's content is no text")
    texts, refusals = [], []
    for part in content:
        if isinstance(part, str):
            texts.append(part)
        elif isinstance(part, dict) and part.get("type", "text") in TEXT_PARTS and isinstance(part.get("text"), str):
            texts.append(part["text"])
        elif isinstance(part, dict) and part.get("type") == "refusal":
            refusals.append(_string(part.get("refusal")))
    return ("".join(texts) if texts else None), " ".join(filter(None, refusals))


def _missing(text: str | None, said: Mapping[str, Any], usage: object) -> str:
    """Why an answer is empty, as far as can be seen; '' when it is not."""
    if text and text.strip():
        return ""
    details = usage.get("completion_tokens_details") if isinstance(usage, dict) else None
    if any(said.get(k) for k in ("reasoning_content", "reasoning", "thinking")) or _count(details, "reasoning_tokens"):
        return ONLY_REASONING
    if isinstance(said.get("content"), list) and said["content"] and text is None:
        return ONLY_REASONING
    if said.get("tool_calls") or said.get("function_call"):
        return TOOL_CALL
    return NO_CONTENT if text is None else ""


# -- errors -------------------------------------------------------------------------------------------------------


def _raise_error(document: Mapping[str, Any], keys: Sequence[str]) -> None:
    """Raise ErrorInside when one of these keys says that a document is an error."""
    if any(document.get(key) for key in keys):
        code, status, message = error_words(document)
        raise ErrorInside(status, code, message)


def error_words(document: object) -> tuple[str, int, str]:
    """(code, status, message) of an error body, whose forms differ; '' and 0 for what it does not say."""
    if not isinstance(document, dict):
        return "", 0, ""
    error = document.get("error") or document
    if isinstance(error, str):
        return "", 0, error
    if not isinstance(error, dict):
        return "", 0, UNSPOKEN
    message = next((_string(error.get(k)) for k in ("message", "detail", "msg") if error.get(k)), "")
    metadata = error.get("metadata")
    if isinstance(metadata, dict) and _string(metadata.get("raw")):
        message = f"{message}: {metadata['raw']}"  # a relay's error holds the provider's own words there
    code = error.get("code")
    status = code if isinstance(code, int) else int(code) if isinstance(code, str) and code.isdigit() else 0
    named = code if isinstance(code, str) and not code.isdigit() else error.get("type")
    return _string(named), status if 400 <= status < 600 else 0, message or UNSPOKEN


NO_CREDIT = re.compile(
    r"insufficient[_ ](?:quota|balance|funds|credit)|out of credit|no credits?|credits? (?:used|exhausted)"
    r"|used up|(?:daily|monthly|per[- ]day)\b.{0,40}(?:quota|limit)"
    r"|(?:quota|limit)\b.{0,40}(?:daily|monthly|per[- ]day)",
    re.IGNORECASE,
)
"""An account that is spent: a request a minute later would be refused too."""

BAD_KEY = re.compile(r"api[ _-]?key|credential|unauthori[sz]ed|authentication", re.IGNORECASE)
MODERATED = re.compile(r"moderat|flagged|safety|content[ _](?:policy|filter|management)|guardrail", re.IGNORECASE)


def _string(value: object) -> str:
    return value if isinstance(value, str) else ""


def _count(usage: object, key: str) -> int:
    value = usage.get(key) if isinstance(usage, dict) else None
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else 0
