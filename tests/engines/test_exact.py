"""Attention over keys and values in 8 bits: against double precision, and the same bits however prompts are grouped."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

HEADS, QUERIES, SIZE = 2, 3, 32


def states(lengths: list[int], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Keys and values, (rows, heads, longest, size), with a channel of keys that stands out."""
    made = np.random.default_rng(seed).normal(size=(2, len(lengths), HEADS, max(lengths), SIZE)).astype(np.float32)
    made[0, ..., 3] *= 20
    return made[0], made[1]


def by_hand(asked: np.ndarray, keys: np.ndarray, values: np.ndarray, scale: float) -> np.ndarray:
    """Queries (heads, queries, size) over keys and values (heads, tokens, size), each token rounded to 127 steps of its
    largest value; in double precision."""

    def rounded(x: np.ndarray) -> np.ndarray:
        x = x.astype(np.float64)
        step = np.abs(x).max(-1, keepdims=True) / 127
        return np.asarray(np.rint(x / step) * step)

    scores = asked.astype(np.float64) @ rounded(keys).transpose(0, 2, 1) * scale
    shares = np.exp(scores - scores.max(-1, keepdims=True))
    return np.asarray(shares / shares.sum(-1, keepdims=True) @ rounded(values))


def attended(
    asked: np.ndarray, keys: np.ndarray, values: np.ndarray, lengths: list[int], groups: list[list[int]], start: int
) -> np.ndarray:
    """Outputs of ``attend`` with these rows in these groups, of which all begin with ``start`` shared tokens."""
    import torch

    from dsum_bench.engines.exact import Read, Room, States
    from dsum_bench.engines.pieces import Marks, Piece

    k, v = torch.from_numpy(keys), torch.from_numpy(values)

    def part(rows: list[int]) -> States:
        own = [lengths[row] - start for row in rows]
        width = start + max(1, *own, 1)
        return States.of(Piece(k[rows, :, start:width], v[rows, :, start:width], Marks(torch.tensor(own))))

    shared = States.of(Piece(k[:1, :, :start], v[:1, :, :start], Marks(torch.tensor([start])))) if start else None
    read = Read(shared, [part(rows) for rows in groups], 0, Room())
    order = [row for rows in groups for row in rows]
    read.scale(len(order), HEADS)
    read.lay(QUERIES, None)
    top = read.scales[1].amax(dim=-1, keepdim=True)
    found = read.attend(torch.from_numpy(asked[order]), top, read.mask(None, 0), 0, None, 0.3)
    made = np.empty_like(asked)
    made[order] = found.numpy()
    return made


@pytest.mark.parametrize("start", [0, 9])
def test_attention_is_that_of_rounded_keys_and_values(start: int) -> None:
    lengths = [40, 10, 25]
    keys, values = states(lengths, 1)
    keys[:, :, :start], values[:, :, :start] = keys[:1, :, :start], values[:1, :, :start]
    asked = np.random.default_rng(2).normal(size=(3, HEADS, QUERIES, SIZE)).astype(np.float32)
    found = attended(asked, keys, values, lengths, [[0, 1], [2]], start)
    for row, length in enumerate(lengths):
        expected = by_hand(asked[row], keys[row, :, :length], values[row, :, :length], 0.3)
        np.testing.assert_allclose(found[row], expected, atol=3e-3)


@settings(deadline=None, max_examples=40)
@given(
    lengths=st.lists(st.integers(4, 70), min_size=2, max_size=5),
    start=st.integers(0, 4),
    cut=st.integers(1, 4),
    seed=st.integers(0, 999),
)
def test_outputs_have_the_same_bits_in_any_groups(lengths: list[int], start: int, cut: int, seed: int) -> None:
    keys, values = states(lengths, seed)
    keys[:, :, :4], values[:, :, :4] = keys[:1, :, :4], values[:1, :, :4]
    asked = np.random.default_rng(seed).normal(size=(len(lengths), HEADS, QUERIES, SIZE)).astype(np.float32) * 3
    rows = list(range(len(lengths)))
    together = attended(asked, keys, values, lengths, [rows], 0)
    assert np.array_equal(attended(asked, keys, values, lengths, [rows], start), together)
    assert np.array_equal(
        attended(asked, keys, values, lengths, [g for g in (rows[:cut], rows[cut:]) if g], start), together
    )
    assert np.array_equal(attended(asked, keys, values, lengths, [[row] for row in rows], start), together)


@pytest.mark.parametrize("size", [64, 128, 256])
def test_the_largest_sums_are_exact(size: int) -> None:
    from dsum_bench.engines.exact import EXACT, LARGEST, SHARES

    assert EXACT // (LARGEST * size) * LARGEST * size <= 2**24
    assert (float(SHARES) + 133_000 / 2) * LARGEST <= 2**24
    assert np.float32(2**24 - 1) + np.float32(1) == 2**24
