"""How a prompt is sent: as messages, which the server puts through its own template, or as one text."""

from __future__ import annotations

import json
import os
import re
from dataclasses import dataclass
from typing import Any, ClassVar, Literal
from urllib.parse import urlsplit

from dsum_bench import AdapterContext, ChatAdapter, CompletionAdapter, Encoded, ModelError, ModelSkipped, TextAdapter

VARIABLE = re.compile(r"[A-Z_][A-Z0-9_]*")
LIMIT_KEYS = ("max_tokens", "max_completion_tokens")


@dataclass(frozen=True, slots=True)
class ServerOptions:
    """Where a model is served. All of it is part of a run's key, so it holds nothing secret and nothing about speed.

    url: the address that ends before ``/chat/completions``, most often in ``/v1``; a list of them for several servers
        of the same model; or the name of an environment variable that holds one or more, with spaces or commas between.
    key: name of the environment variable that holds the key; '' where the server asks for none.
    limit_key: the request's field that bounds the output: ``max_tokens``, or ``max_completion_tokens``.
    """

    url: str | tuple[str, ...]
    key: str = ""
    limit_key: str = "max_tokens"

    def __post_init__(self) -> None:
        if not isinstance(self.url, str):
            object.__setattr__(self, "url", tuple(self.url))
        if not isinstance(self.url, str) or not VARIABLE.fullmatch(self.url):
            _check_addresses((self.url,) if isinstance(self.url, str) else self.url)
        if self.key and not VARIABLE.fullmatch(self.key):
            raise ValueError(
                "key must name an environment variable, in capitals such as OPENAI_API_KEY; it is not the key itself"
            )
        if self.limit_key not in LIMIT_KEYS:
            raise ValueError(f"limit_key must be {' or '.join(LIMIT_KEYS)}")

    def addresses(self) -> tuple[str, ...]:
        """The servers. Raises ModelSkipped when their variable is not set, ModelError when it holds no addresses."""
        if not isinstance(self.url, str):
            return self.url
        if not VARIABLE.fullmatch(self.url):
            return (self.url,)
        found = tuple(os.environ.get(self.url, "").replace(",", " ").split())
        if not found:
            raise ModelSkipped(f"needs the address of a server in environment variable {self.url}, which is not set")
        try:
            _check_addresses(found)
        except ValueError as error:
            raise ModelError(f"environment variable {self.url}: {error}") from None
        return found


def _check_addresses(addresses: tuple[str, ...]) -> None:
    """Raises ValueError for what is no address of a server. No sentence repeats it: it might hold a secret."""
    if not addresses:
        raise ValueError("url must name a server")
    for address in addresses:
        parts = urlsplit(address)
        if parts.scheme not in ("http", "https") or not parts.hostname:
            raise ValueError("url must begin with http:// or https:// and name a server")
        if parts.username or parts.password or parts.query:
            raise ValueError("url must hold no password and no query; name the key's environment variable in key")
    if len({a.rstrip("/") for a in addresses}) != len(addresses):
        raise ValueError("url names the same server twice")


def _check(name: str, context: AdapterContext) -> None:
    if context.prompt is None:
        raise ModelError(f"adapter '{name}' needs a prompt")
    if context.model.engine != "openai":
        raise ModelError(f"adapter '{name}' asks a server: add engine = \"openai\" to the entry")
    if context.max_prompt_tokens is not None:
        raise ModelError(
            "max_prompt_tokens cannot be kept: the tokenizer is the server's, so tokens cannot be counted here; "
            "leave the key out"
        )


class OpenAIChat(ChatAdapter):
    """Messages for ``/chat/completions``; ``Prompt.text`` holds them as JSON."""

    name = "openai"
    Options = ServerOptions  # type: ignore[assignment]  # mypy takes the parent's for its only type
    endpoint: ClassVar[Literal["chat", "completion"]] = "chat"

    def __init__(self, context: AdapterContext, options: Any) -> None:
        TextAdapter.__init__(self, context, options)  # ChatAdapter's asks for a tokenizer, which is the server's here
        _check(self.name, context)
        if context.prompt_format == "raw":
            raise ModelError("a chat endpoint applies its template always; for raw text use adapter openai-completion")
        assert context.prompt is not None
        self.asked = context.prompt

    def encode(self, dialogue: str) -> Encoded:
        return json.dumps(self.messages(dialogue), ensure_ascii=False), []


class OpenAICompletion(CompletionAdapter):
    """One text with worked examples for ``/completions``."""

    name = "openai-completion"
    Options = ServerOptions
    endpoint: ClassVar[Literal["chat", "completion"]] = "completion"

    def __init__(self, context: AdapterContext, options: Any) -> None:
        super().__init__(context, options)
        _check(self.name, context)

    def with_bos(self, text: str) -> Encoded:
        """The text alone: the server's tokenizer adds what belongs before it."""
        return text, []
