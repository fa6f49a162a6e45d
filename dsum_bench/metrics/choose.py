"""From ``rouge@mecab`` to a metric."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dsum_bench.errors import UserError, plugin_code

if TYPE_CHECKING:
    from dsum_bench.metrics.base import Metric
    from dsum_bench.plugins import Plugins


@dataclass(frozen=True, slots=True)
class MetricChoice:
    """A metric, the tokenizer it counts on (None for a metric that needs none), and its variant, mostly ''."""

    metric: str
    tokenizer: str | None
    variant: str = ""


def parse_metric(text: str) -> MetricChoice:
    """``METRIC`` or ``METRIC@TOKENIZER``, with ``:VARIANT`` or without."""
    name, _, variant = text.partition(":")
    metric, at, tokenizer = name.partition("@")
    return MetricChoice(metric, tokenizer if at else None, variant)


def build(plugins: Plugins, text: str) -> Metric:
    """The metric that text names.

    Raises:
        UserError: no such metric or tokenizer, a tokenizer too many or too few, or one that cannot be opened.
    """
    choice = parse_metric(text)
    metric = plugins.get("metric", choice.metric, f"metric '{text}'")
    if choice.variant and choice.variant not in metric.variants:
        raise UserError(f"metric '{text}': {choice.metric} has no variant '{choice.variant}'; {_variants(metric)}")
    try:
        with plugin_code():
            made = _made(plugins, metric, choice, text)
    except UserError:
        raise
    except Exception as error:  # a metric or tokenizer may be a plugin
        raise UserError(f"metric '{text}' cannot be opened: {type(error).__name__}: {error}") from error
    made.variant = choice.variant
    return made


def unsuited(metrics: Mapping[str, Metric], language: str) -> list[str]:
    """A sentence for each metric that is made for texts in another language."""
    found = []
    for name, metric in metrics.items():
        for part in (metric, metric.tokenizer):
            if part is not None and part.languages and language not in part.languages:
                made_for = ", ".join(part.languages)
                found.append(f"metric '{name}' is made for texts in {made_for}, and these are in {language}")
                break
    return found


def _variants(metric: type[Metric]) -> str:
    return f"there are {', '.join(metric.variants)}" if metric.variants else "it has none"


def _made(plugins: Plugins, metric: type[Metric], choice: MetricChoice, text: str) -> Metric:
    if not metric.needs_tokenizer:
        if choice.tokenizer is not None:
            raise UserError(f"metric '{text}': {choice.metric} uses no tokenizer; write '{choice.metric}'")
        return metric(None)
    if choice.tokenizer is None:
        known = ", ".join(f"{choice.metric}@{name}" for name in plugins.tokenizers)
        raise UserError(f"metric '{text}' needs a tokenizer: {known}")
    return metric(plugins.get("tokenizer", choice.tokenizer, f"metric '{text}'")())
