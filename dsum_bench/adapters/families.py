"""Which adapter a checkpoint is for, judged by its ``config.json``."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

ENCODER_DECODERS = re.compile(
    r"(?:m|um|long)?t5|t5gemma\w*|bart|mbart|plbart|m2m_100|nllb-moe|pegasus(?:_x)?|bigbird_pegasus|led|marian"
    r"|blenderbot(?:-small)?|prophetnet|xlm-prophetnet|switch_transformers|mvp|fsmt|encoder-decoder"
)
FAMILIES = {"llama3": re.compile("m?llama"), "qwen": re.compile(r"qwen\w*"), "gemma": re.compile(r"gemma\w*")}
READERS = ("ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering", "ForMaskedLM")
"""Heads that read and do not write; a checkpoint whose only architecture ends so cannot summarise."""


def model_type(config: Mapping[str, Any]) -> str:
    """The ``model_type`` of a configuration, '' where it names none."""
    return str(config.get("model_type") or "")


def is_encoder_decoder(config: Mapping[str, Any]) -> bool:
    """Whether a configuration is that of an encoder-decoder; many do not say so themselves."""
    return bool(config.get("is_encoder_decoder")) or bool(ENCODER_DECODERS.fullmatch(model_type(config)))


def writes_nothing(config: Mapping[str, Any]) -> str | None:
    """Why a checkpoint cannot write text at all, None when it can."""
    names = [str(name) for name in config.get("architectures") or ()]
    if names and all(name.endswith(READERS) for name in names):
        return f"is a {names[0]}, which does not generate text"
    return None


def not_a_decoder(config: Mapping[str, Any]) -> str | None:
    """Why a checkpoint is not for an adapter of decoder-only models."""
    if is_encoder_decoder(config):
        return f"is an encoder-decoder ({model_type(config) or 'unnamed'}); use adapter encoder_decoder"
    return writes_nothing(config)


def not_of(family: re.Pattern[str], config: Mapping[str, Any]) -> str | None:
    """Why a checkpoint is not of a family of decoder-only models, with the adapter that fits it.

    family: matches the model types that belong to it. A configuration without a model type is let through.
    """
    kind = model_type(config)
    wrong = not_a_decoder(config)
    if wrong or not kind or family.fullmatch(kind):
        return wrong
    fitting = next((name for name, types in FAMILIES.items() if types.fullmatch(kind)), "chat")
    return f"is of type {kind}; use adapter {fitting}"
