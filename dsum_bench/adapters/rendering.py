"""Rendering chat templates, with a clock that stands still."""

from __future__ import annotations

import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from datetime import datetime
from typing import Any

FROZEN = datetime(2024, 7, 26)
"""What templates take for now. With the real time, tomorrow's prompt is another one and a run cannot be repeated; this
is the day that the templates of Llama 3.1 to 3.3 name where there is no clock."""
_LOCK = threading.RLock()


def render(tokenizer: Any, messages: Sequence[Mapping[str, str]], **arguments: object) -> str:
    """The text that the tokenizer's chat template makes of messages at FROZEN.

    Raises:
        jinja2.TemplateError: the template refuses the messages.
    """
    with told(FROZEN):
        text: str = tokenizer.apply_chat_template(list(messages), tokenize=False, **arguments)
    return text


@contextmanager
def told(now: datetime) -> Iterator[None]:
    """Within, every chat template that asks for the time is told this one.

    A template's only clock is the function ``strftime_now``, which transformers 5 defines for all templates and lets no
    caller replace; so it is the clock behind that function which stands still.
    """
    from transformers.utils import chat_template_utils

    class Now(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]  # whoever asks is told the same
            return now

    with _LOCK:
        real = chat_template_utils.datetime
        chat_template_utils.datetime = Now
        try:
            yield
        finally:
            chat_template_utils.datetime = real
