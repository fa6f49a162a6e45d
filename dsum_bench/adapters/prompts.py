"""Prompt texts: which registry prompt fits a model, and the dialogue in its place."""

from __future__ import annotations

PLACE = "{dialogue}"


def default_prompt(style: str, language: str) -> str:
    """Name of the registry prompt for a prompt style (``chat`` or ``completion``) and a language."""
    return f"{language}-completion" if style == "completion" else f"{language}-default"


def fill(user: str, dialogue: str) -> str:
    """The user text with the dialogue in its place. Braces elsewhere mean nothing."""
    return user.replace(PLACE, dialogue)
