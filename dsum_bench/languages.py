"""What follows from the language of a dataset: the metrics that score it where nobody says which."""

from __future__ import annotations

from collections.abc import Collection

DEFAULTS: dict[str, tuple[str, ...]] = {
    "ko": ("rouge@mecab", "rouge@whitespace", "rouge@char", "text", "facts"),
    "en": ("rouge-score@english", "rouge@whitespace", "rouge@char", "text"),
}
"""By language; the first one ranks."""
OTHERS = ("rouge@whitespace", "rouge@char", "text")


def default_metrics(language: str) -> tuple[str, ...]:
    """The metrics of a language, the one that ranks first."""
    return DEFAULTS.get(language, OTHERS)


def main_metric(language: str, known: Collection[str] | None = None) -> str:
    """The metric that ranks. known: what there are scores of, where it must be one of them; the first default of the
    language that is known, else the first that is known by name, else the language's own."""
    if known is None:
        return default_metrics(language)[0]
    return next((m for m in (*default_metrics(language), *sorted(known)) if m in known), default_metrics(language)[0])
