"""Attention over keys and values that lie in pieces, on a CPU. Imports torch: import this module inside methods only.

A step of decoding reads all keys and values, which on a CPU takes as long as a good part of the weights. Most of them
are the same for many rows, so each is kept, and read, once:

- what all prompts begin with: one piece for the whole batch;
- what is left of each prompt: one piece for each group that was read together, no wider than that group, and one row
  for all beams of a prompt;
- the tokens written since: a row for each beam.

The outputs over the pieces are put together by their log-sum-exp, as in FlashAttention (Dao et al. 2022) and Hydragen
(Juravsky et al. 2024). No mask of the model is used: a row begins at the left edge of its piece, and what fills it up
comes after it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch.nn.functional import pad
from transformers.cache_utils import DynamicLayer

HIDDEN = -1e30
"""Added to the score of what is not seen. It is finite, so that a row that sees nothing of a piece is no NaN."""

QUERIES, PLACES = 32, 128
"""What a steady layer fills queries up to, and places; it takes so many places at once."""

Pair = tuple[torch.Tensor, torch.Tensor]
Found = tuple[torch.Tensor, torch.Tensor]
"""Outputs of shape (rows, heads, queries, size) and the log-sum-exp of their scores, (rows, heads, queries)."""


def over(
    query: torch.Tensor, keys: torch.Tensor, values: torch.Tensor, mask: torch.Tensor | None, scale: float | None
) -> Found:
    """Attention of queries (rows, heads, queries, size) over one piece; the heads may share keys and values."""
    found: Found = torch.ops.aten._scaled_dot_product_flash_attention_for_cpu(
        query, keys, values, 0.0, False, attn_mask=mask, scale=scale
    )
    return found


def together(pieces: Sequence[Found]) -> torch.Tensor:
    """The output over all pieces."""
    if len(pieces) == 1:
        return pieces[0][0]
    weights = torch.stack([scores for _, scores in pieces], dim=-1).softmax(dim=-1)
    made = pieces[0][0] * weights[..., :1]
    for place, (output, _) in enumerate(pieces[1:], 1):
        made += output * weights[..., place : place + 1]
    return made


def blocks(
    query: torch.Tensor,
    keys: torch.Tensor,
    values: torch.Tensor,
    mask: torch.Tensor | None,
    scale: float | None,
    steady: bool,
    first: int | None = None,
) -> list[Found]:
    """Attention over one piece; block by block where it has to be ``steady``.

    A product may add up in another order when it has more columns or rows, and another last bit of an activation is
    another int8 value now and then. With blocks of one size, counted from the left edge of the row, its output has the
    same bits beside whatever neighbours.

    first: place of the first query, where none sees what comes after it; those before a block are not asked there.
    """
    if not steady:
        return [over(query, keys, values, mask, scale)]
    found = []
    for at in range(0, keys.shape[2], PLACES):
        here = slice(at, at + PLACES)
        skipped = 0 if first is None else max(0, at - first) // QUERIES * QUERIES
        if skipped < query.shape[2]:
            part = None if mask is None else mask[..., skipped:, here]
            output, scores = over(query[:, :, skipped:], keys[:, :, here], values[:, :, here], part, scale)
            found.append((pad(output, (0, 0, skipped, 0)), pad(scores, (skipped, 0), value=HIDDEN)))
    return found


def widened(states: torch.Tensor, multiple: int) -> torch.Tensor:
    """Filled up behind to a multiple of places."""
    missing = -states.shape[2] % multiple
    return pad(states, (0, 0, 0, missing)) if missing else states


@dataclass
class Marks:
    """What each row of a piece shows, the same for all layers. lengths: tokens of each row. always: make a mask even
    where it hides nothing, since scores without one may be rounded otherwise."""

    lengths: torch.Tensor
    always: bool = False
    known: dict[tuple[int, int | None], torch.Tensor | None] = field(default_factory=dict)

    def mask(self, width: int, reach: int | None) -> torch.Tensor | None:
        """Scores to add, of shape (rows, 1, 1, width), for a token that sees the last ``reach`` tokens of each row, or
        all of them; None where it sees everything."""
        key = width, reach
        if key not in self.known:
            places = torch.arange(width)
            shown = places < self.lengths[:, None]
            if reach is not None:
                shown &= places >= self.lengths[:, None] - reach
            mask = torch.zeros(shown.shape).masked_fill_(~shown, HIDDEN)[:, None, None]
            self.known = {k: v for k, v in self.known.items() if k[1] is None}  # the others were an earlier step's
            self.known[key] = mask if self.always or not bool(shown.all()) else None
        return self.known[key]


@dataclass
class Piece:
    """Keys and values of a group of prompts, (rows, heads, width, size), and how much of each row is filled."""

    keys: torch.Tensor
    values: torch.Tensor
    marks: Marks

    def rows(self, kept: torch.Tensor) -> Piece:
        """These rows, no wider than they need to be."""
        lengths = self.marks.lengths[kept]
        width = max(1, int(lengths.max()))
        width = min(-(-width // PLACES) * PLACES, self.keys.shape[2])
        return Piece(self.keys[kept, :, :width], self.values[kept, :, :width], Marks(lengths, self.marks.always))

    def widened(self, rows: int, width: int) -> Piece:
        """The first token of the first row, over and over."""
        keys, values = (t[:1, :, :1].repeat(rows, 1, width, 1) for t in (self.keys, self.values))
        return Piece(keys, values, Marks(torch.full((rows,), width), self.marks.always))


class Reading(DynamicLayer):  # type: ignore[misc]  # transformers has no types here
    """A layer while prompts are read in one pass, one after the other in a single row, so that nothing is filled up.

    Args:
        start: keys and values of what they all begin with, (1, heads, tokens, size) each, or None.
        spans: where in the row each prompt lies. window: tokens that the layer looks back, 0 for all.
        masks: made so far, for all layers.
    """

    def __init__(
        self, start: Pair | None, spans: Sequence[slice], window: int, steady: bool, masks: dict[Any, torch.Tensor]
    ) -> None:
        super().__init__()
        self.start, self.spans, self.window, self.steady, self.masks = start, spans, window, steady, masks
        self.length = 0 if start is None else start[0].shape[2]

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        self.keys, self.values = key_states, value_states
        self.is_initialized = True
        return self, self

    def get_seq_length(self) -> int:
        return self.length

    def attend(self, query: torch.Tensor, scale: float | None) -> torch.Tensor:
        """Outputs of shape (1, tokens, heads, size)."""
        made = query.new_zeros(1, query.shape[2], query.shape[1], self.values.shape[3])
        for span in self.spans:
            asked, keys, values = query[:, :, span], self.keys[:, :, span], self.values[:, :, span]
            if self.start is not None:
                keys, values = torch.cat([self.start[0], keys], 2), torch.cat([self.start[1], values], 2)
            queries, width = asked.shape[2], keys.shape[2]
            if queries == 0:
                continue
            if self.steady:
                asked, keys, values = widened(asked, QUERIES), widened(keys, PLACES), widened(values, PLACES)
            mask = self._mask(asked.shape[2], keys.shape[2], width - queries)
            found = together(blocks(asked, keys, values, mask, scale, self.steady, width - queries))
            made[:, span] = found[:, :, :queries].transpose(1, 2)
        return made

    def _mask(self, queries: int, width: int, first: int) -> torch.Tensor:
        """(1, 1, queries, width): a token sees itself and what comes before it. first: place of the first query."""
        key = queries, width, first, self.window
        if key not in self.masks:
            ends, places = torch.arange(first, first + queries)[:, None], torch.arange(width)
            shown = places <= ends
            if self.window:
                shown &= places > ends - self.window
            self.masks[key] = torch.zeros(shown.shape).masked_fill_(~shown, HIDDEN)[None, None]
        return self.masks[key]

    def pieces(self, marks: Marks, whole: bool) -> Piece:
        """What was read, a row for each prompt. whole: with what they all begin with."""
        start = self.start if whole else None
        first = 0 if start is None else self.length
        width = first + max(1, *(span.stop - span.start for span in self.spans), 1)
        width = -(-width // PLACES) * PLACES if self.steady else width
        made = []
        for place, own in enumerate((self.keys, self.values)):
            piece = own.new_zeros(len(self.spans), own.shape[1], width, own.shape[3])
            for row, span in enumerate(self.spans):
                piece[row, :, first : first + span.stop - span.start] = own[0, :, span]
            if start is not None:
                piece[:, :, :first] = start[place]
            made.append(piece)
        return Piece(made[0], made[1], marks)


class Writing(DynamicLayer):  # type: ignore[misc]
    """A layer while outputs are written, one token a step.

    Args:
        start: of all prompts, one row, or None. prompts: the rest of them, in order.
        width: tokens that the widest prompt has, that of the start included. room: new tokens that there may be.
    """

    def __init__(
        self, start: Pair | None, prompts: Sequence[Piece], width: int, room: int, beams: int, window: int, steady: bool
    ) -> None:
        super().__init__()
        self.start, self.prompts, self.width, self.beams = start, list(prompts), width, beams
        self.window, self.steady = window, steady
        rows = sum(len(piece.keys) for piece in prompts) * beams
        _, self.heads, _, size = prompts[0].keys.shape
        self.buffers = [prompts[0].keys.new_empty(rows, self.heads, room, size) for _ in range(2)]
        self.written = 0
        self.dtype, self.device, self.is_initialized = self.buffers[0].dtype, self.buffers[0].device, True

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        if self.written == self.buffers[0].shape[2]:  # cannot happen within max_new_tokens
            self.buffers = [pad(buffer, (0, 0, 0, 16)) for buffer in self.buffers]
        for buffer, states in zip(self.buffers, (key_states, value_states), strict=True):
            buffer[:, :, self.written : self.written + 1] = states
        self.written += 1
        return self, self

    def get_seq_length(self) -> int:
        return self.width + self.written

    def reorder_cache(self, beam_idx: torch.Tensor) -> None:
        """Give rows what other rows have written; beams of one prompt share what they have read."""
        for buffer in self.buffers:
            written = buffer[:, :, : self.written]
            written.copy_(written.index_select(0, beam_idx))

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keep these rows, in ascending order, where every prompt has one row."""
        self.buffers = [buffer[indices] for buffer in self.buffers]
        kept, at = [], 0
        for piece in self.prompts:
            here = indices[(indices >= at) & (indices < at + len(piece.keys))] - at
            at += len(piece.keys)
            if len(here):
                kept.append(piece.rows(here))
        self.prompts = kept

    def attend(self, query: torch.Tensor, scale: float | None) -> torch.Tensor:
        """Outputs of shape (rows, 1, heads, size)."""
        rows, heads, _, size = query.shape
        beams, groups = self.beams, heads // self.heads
        prompts = rows // beams
        # Queries of the heads that share keys, and of a prompt's beams, are queries of one head.
        query = query.reshape(rows, self.heads, groups, size)
        first = max(0, self.written - self.window) if self.window else 0
        keys, values = (buffer[:, :, first : self.written] for buffer in self.buffers)
        new = over(query, keys, values, None, scale)
        asked = query.reshape(prompts, beams, self.heads, groups, size).transpose(1, 2).flatten(2, 3)
        pieces = [_folded(new, prompts, beams), *self._over_prompts(asked, scale)]
        if self.start is not None:
            every = asked.transpose(0, 1).flatten(1, 2)[None]
            output, scores = over(every, *self.start, None, scale)
            shape = (self.heads, prompts, beams * groups)
            pieces.append((output.reshape(*shape, size).transpose(0, 1), scores.reshape(shape).transpose(0, 1)))
        made = together(pieces).reshape(prompts, self.heads, beams, groups, size)
        return made.transpose(1, 2).reshape(rows, 1, heads, size)

    def _over_prompts(self, asked: torch.Tensor, scale: float | None) -> list[Found]:
        found, at = [], 0
        for piece in self.prompts:
            end, width = at + len(piece.keys), piece.keys.shape[2]
            mask = piece.marks.mask(width, self.window - self.written if self.window else None)
            found.append(blocks(asked[at:end], piece.keys, piece.values, mask, scale, self.steady))
            at = end
        return found[0] if len(found) == 1 else [_below(found, n) for n in range(max(map(len, found)))]


def _below(groups: Sequence[list[Found]], number: int) -> Found:
    """The block of this number of all groups, one below the other. A group that has none sees nothing there."""
    found = [
        group[number] if number < len(group) else (torch.zeros_like(group[0][0]), torch.full_like(group[0][1], HIDDEN))
        for group in groups
    ]
    outputs, scores = zip(*found, strict=True)
    return torch.cat(outputs), torch.cat(scores)


def _folded(found: Found, prompts: int, beams: int) -> Found:
    """Rows of beams as rows of prompts: (prompts, heads, beams times queries, ...)."""
    output, scores = (t.reshape(prompts, beams, *t.shape[1:]).transpose(1, 2).flatten(2, 3) for t in found)
    return output, scores
