"""Prompt texts: which registry prompt fits a model, and what goes into its places."""

from __future__ import annotations

import re
from collections.abc import Mapping

PLACE = "{dialogue}"
NAMED = re.compile(r"\{\{([^\W\d]\w*)\}\}|\{([^\W\d]\w*)\}")
"""``{{name}}``, which stands for the characters ``{name}``, or the place of a field."""
NOTHING: Mapping[str, str] = {}


def default_prompt(style: str, language: str) -> str:
    """Name of the registry prompt for a prompt style (``chat`` or ``completion``) and a language."""
    return f"{language}-completion" if style == "completion" else f"{language}-default"


def places(*texts: str) -> tuple[str, ...]:
    """Names of the fields that texts have places for, beside the dialogue, each once."""
    named = (found[2] for text in texts for found in NAMED.finditer(text))
    return tuple(dict.fromkeys(name for name in named if name and name != "dialogue"))


def fill(text: str, dialogue: str, fields: Mapping[str, str] = NOTHING) -> str:
    """The text with the dialogue and fields in their places, all at once: a brace in what is put in means nothing, and
    so does one around no field's name. ``{{name}}`` gives ``{name}``."""
    known = {**fields, "dialogue": dialogue}

    def put(found: re.Match[str]) -> str:
        escaped, name = found.groups()
        return f"{{{escaped}}}" if escaped else known.get(name, found[0])

    return NAMED.sub(put, text)
