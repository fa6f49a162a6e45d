"""The adapter ``chat``: any decoder-only model whose tokenizer has a chat template. Families build on it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, ClassVar

from dsum_bench.adapters.base import AdapterContext
from dsum_bench.adapters.families import not_a_decoder, not_of
from dsum_bench.adapters.parsing import without_thoughts
from dsum_bench.adapters.rendering import render
from dsum_bench.adapters.text import Encoded, TextAdapter
from dsum_bench.errors import ModelError

Messages = list[dict[str, str]]

ANSWER = "\u2603answer\u2603"
"""Stands for an answer, to see what a template puts after one; no template has it in its own text."""


@dataclass(frozen=True, slots=True)
class ChatOptions:
    """template_arguments: further variables for the tokenizer's chat template.

    opening: messages before the system text, role -> text (HyperCLOVA X wants a ``tool_list``).
    ends: texts that end an output beside the token that the chat template puts after one.
    """

    template_arguments: Mapping[str, object] = field(default_factory=dict)
    opening: Mapping[str, str] = field(default_factory=dict)
    ends: tuple[str, ...] = ()


class ChatAdapter(TextAdapter):
    """Prompts through the tokenizer's own chat template.

    family: matches the model types this adapter is for; None for any decoder-only model.
    """

    name = "chat"
    architecture = "decoder"
    prompt_style = "chat"
    Options = ChatOptions
    family: ClassVar[re.Pattern[str] | None] = None

    def __init__(self, context: AdapterContext, options: Any) -> None:
        super().__init__(context, options)
        if context.prompt is None:
            raise ModelError(f"adapter '{self.name}' needs a prompt")
        self.asked = context.prompt
        if context.prompt_format == "template" and not self.tokenizer.chat_template:
            raise ModelError("its tokenizer has no chat template; use adapter completion or --prompt-format raw")

    @classmethod
    def refuses(cls, config: Mapping[str, Any]) -> str | None:
        return not_a_decoder(config) if cls.family is None else not_of(cls.family, config)

    # -- what a family may change -----------------------------------------------------------------------------

    def template_arguments(self) -> dict[str, object]:
        """Variables for the chat template; what the registry entry says wins."""
        return dict(self.options.template_arguments)

    def opening(self) -> Messages:
        """Messages before the system text."""
        return [{"role": role, "content": text} for role, text in self._chat.opening.items()]

    def messages(self, dialogue: str) -> Messages:
        """The conversation: opening, system text, worked examples as pairs of user and assistant, then the question."""
        said = self.opening()
        if self.asked.system:
            said.append({"role": "system", "content": self.filled(self.asked.system)})
        for example in self.examples:
            said.append({"role": "user", "content": self.filled_example(self.asked.user, example)})
            said.append({"role": "assistant", "content": self.as_words(example.summary)})
        said.append({"role": "user", "content": self.filled(self.asked.user, dialogue)})
        return said

    # -- prompts and outputs ----------------------------------------------------------------------------------

    def encode(self, dialogue: str) -> Encoded:
        if self.context.prompt_format == "raw":
            return self.with_bos("\n\n".join(m["content"] for m in self.messages(dialogue)))
        return self._with_one_bos(self.render(dialogue))

    def render(self, dialogue: str) -> str:
        """The text that the tokenizer's chat template makes of the messages.

        Raises:
            ModelError: the template refuses them, with its own words.
        """
        from jinja2 import TemplateError

        try:
            return render(
                self.tokenizer, self.messages(dialogue), **self.template_arguments(), add_generation_prompt=True
            )
        except TemplateError as error:
            raise ModelError(f"its chat template refuses the prompt: {error}") from error

    def end_of_target(self) -> int:
        return super().end_of_target() if self._closing_id is None else self._closing_id

    def end_texts(self) -> tuple[str, ...]:
        return (*super().end_texts(), *self._chat.ends)

    def end_ids(self) -> tuple[int, ...]:
        closing = () if self._closing_id is None else (self._closing_id,)
        return tuple(dict.fromkeys((*super().end_ids(), *closing)))

    @property
    def _chat(self) -> ChatOptions:
        """Its options; the usual ones for a family whose options are of another kind."""
        return self.options if isinstance(self.options, ChatOptions) else ChatOptions()

    @cached_property
    def _closing_id(self) -> int | None:
        """The control token that the chat template itself puts after an answer, None where it puts none."""
        from jinja2 import TemplateError

        if self.tokenizer is None or self.context.prompt_format == "raw":
            return None
        said = [{"role": "user", "content": "x"}, {"role": "assistant", "content": ANSWER}]
        try:
            text = render(self.tokenizer, said, **self.template_arguments())
        except TemplateError:
            return None
        after = self.plain_ids(text.rpartition(ANSWER)[2].lstrip(" "))
        return after[0] if after and after[0] in self._control_ids else None

    def _with_one_bos(self, text: str) -> Encoded:
        """A templated text and its ids, with exactly one BOS where the family has one."""
        bos: str | None = self.tokenizer.bos_token
        if not bos or not text.startswith(bos):
            return self.with_bos(text)
        while text.startswith(bos + bos):
            text = text.removeprefix(bos)
        return text, self.plain_ids(text)

    def summary(self, text: str) -> str:
        return without_thoughts(text)
