"""Numbers and texts as tables show them."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dsum_bench.cli import formatting


@pytest.mark.parametrize(
    ("count", "text"),
    [
        (None, "?"), (0, ""), (5, "5"), (123_456, "123K"), (134_515_008, "135M"), (999_600, "1.00M"),
        (3_212_749_824, "3.21B"), (10_700_000_000, "10.7B"), (70_600_000_000, "70.6B"), (405_000_000_000, "405B"),
    ],
)  # fmt: skip
def test_parameters(count: int | None, text: str) -> None:
    assert formatting.params(count) == text


@given(st.integers(1, 10**14))
def test_parameters_are_right_to_three_digits(count: int) -> None:
    text = formatting.params(count)
    size: dict[str, Any] = {"K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}
    value = float(text[:-1]) * size[text[-1]] if text[-1] in size else float(text)
    assert value == pytest.approx(count, rel=0.0051)
    assert len(text) <= 5


@pytest.mark.parametrize(
    ("value", "text"), [(0.0, "0.00"), (9.994, "9.99"), (9.996, "10.0"), (99.96, "100"), (1234.5, "1234"), (None, "")]
)
def test_seconds(value: float | None, text: str) -> None:
    assert formatting.seconds(value) == text


def test_text_cannot_move_the_cursor_or_turn_the_line() -> None:
    assert formatting.clean("a\tb\nc\x1b[2J\r\u202ed\x9b") == "a b\nc\ufffd[2J\ufffd\ufffdd\ufffd"
