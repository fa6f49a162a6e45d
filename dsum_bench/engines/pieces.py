"""Attention over keys and values that lie in pieces, on a CPU. Imports torch: import this module inside methods only.

A step of decoding reads all keys and values, which on a CPU takes as long as a good part of the weights. Most of them
are the same for many rows, so each is kept, and read, once:

- what all prompts begin with: one piece for the whole batch;
- what is left of each prompt: one piece for each group that was read together, no wider than that group, and one row
  for all beams of a prompt;
- the tokens written since: a place for each beam, which the beams that go on from it share.

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

from dsum_bench.engines.pages import HIDDEN, Found, Pages

QUERIES, PLACES = 32, 128
"""What a steady layer fills queries up to, and places; it takes so many places at once."""

Pair = tuple[torch.Tensor, torch.Tensor]


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
        width = -(-width // PLACES) * PLACES if self.marks.always else width
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

    def attend(self, query: torch.Tensor, scale: float | None, bias: torch.Tensor | None) -> torch.Tensor:
        """Outputs of shape (1, tokens, heads, size)."""
        if bias is not None:
            raise TypeError("scores to add belong to tokens of one prompt")
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


@dataclass
class Lineage:
    """What each beam of a prompt has written. A step writes a place for each beam, and a beam that goes on from another
    one sees the places of that one from then on: nothing moves when beams change.

    shown: scores to add, of shape (prompts, beams, places). masks: made of it since the last change, for all layers.
    live: numbers of the prompts that are still written; None for all.
    """

    beams: int
    shown: torch.Tensor = field(default_factory=lambda: torch.zeros(0))
    masks: dict[int, torch.Tensor] = field(default_factory=dict)
    biased: tuple[torch.Tensor, torch.Tensor] | None = None
    live: torch.Tensor | None = None

    def reorder(self, rows: torch.Tensor) -> None:
        """Let rows go on from other rows of their prompts. rows: of all prompts."""
        if self.beams > 1 and len(self.shown):
            origins = (rows % self.beams).view(-1, self.beams, 1)
            origins = origins if self.live is None else origins[self.live]
            self.shown, self.masks = self.shown.gather(1, origins.expand_as(self.shown)), {}

    def keep(self, places: torch.Tensor) -> None:
        """Keep the prompts at these places among those that are still written, in ascending order."""
        live = torch.arange(len(self.shown)) if self.live is None else self.live
        self.live, self.shown, self.masks, self.biased = live[places], self.shown[places], {}, None

    def mask(self, prompts: int, steps: int, groups: int, bias: torch.Tensor | None) -> torch.Tensor | None:
        """Scores to add for all places of so many steps, of shape (prompts, 1 or heads, beams times groups, places);
        None for none.

        groups: heads that share keys. bias: scores to add, of shape (1, heads, 1, steps).
        """
        if self.beams == 1:
            return bias
        if bias is None:
            return self._mask(prompts, steps, groups)
        if self.biased is None or self.biased[0] is not bias:
            spread = bias.repeat_interleave(self.beams, 3)
            self.biased = bias, self._mask(prompts, steps, groups) + spread
        return self.biased[1]

    def _mask(self, prompts: int, steps: int, groups: int) -> torch.Tensor:
        if not len(self.shown):
            self.shown = torch.zeros(prompts, self.beams, 0)
        while self.shown.shape[2] < steps * self.beams:
            own = torch.full((self.beams, self.beams), HIDDEN).fill_diagonal_(0)
            self.shown, self.masks = torch.cat([self.shown, own.expand(prompts, -1, -1)], dim=2), {}
        if groups not in self.masks:
            self.masks[groups] = self.shown.repeat_interleave(groups, 1)[:, None]
        return self.masks[groups]


class Prompts:
    """Keys and values of prompts in order, in the groups that they were read in; in pages if ``steady``."""

    def __init__(self, groups: Sequence[Piece], steady: bool) -> None:
        self.groups, self.steady = list(groups), steady
        self.pages: Pages | None = None

    def keep(self, rows: torch.Tensor) -> None:
        """Keep these, in ascending order."""
        if self.pages is not None:
            self.pages.keep(rows)
        kept, at = [], 0
        for piece in self.groups:
            here = rows[(rows >= at) & (rows < at + len(piece.keys))] - at
            at += len(piece.keys)
            if len(here):
                kept.append(piece.rows(here))
        self.groups = kept

    def attend(self, asked: torch.Tensor, scale: float | None, reach: int | None) -> list[Found]:
        """Attention of (prompts, heads, queries, size); nothing without prompts."""
        if self.steady and self.groups:  # in the first step, when nobody else holds the groups any longer
            self.pages = Pages([(piece.keys, piece.values, piece.marks.lengths) for piece in self.groups])
            self.groups = []
        if self.pages is not None:
            return [self.pages.attend(asked, scale, reach)]
        found, at = [], 0
        for piece in self.groups:
            end = at + len(piece.keys)
            mask = piece.marks.mask(piece.keys.shape[2], reach)
            found.append(over(asked[at:end], piece.keys, piece.values, mask, scale))
            at = end
        if not found:
            return []
        outputs, scores = zip(*found, strict=True)
        return [(torch.cat(outputs), torch.cat(scores))]


class Writing(DynamicLayer):  # type: ignore[misc]
    """A layer while outputs are written, one token a step.

    Args:
        start: of all prompts, one row, or None. prompts: the rest of them; none where an encoder has read them.
        width: tokens that the widest prompt has, that of the start included. room: new tokens that there may be.
        lineage: of all layers.
    """

    def __init__(
        self, start: Pair | None, prompts: Prompts, width: int, room: int, lineage: Lineage, window: int = 0
    ) -> None:
        super().__init__()
        self.start, self.prompts, self.width, self.room = start, prompts, width, room
        self.lineage, self.window = lineage, window
        self.buffers: list[torch.Tensor] = []
        self.written = 0
        self.is_initialized = True

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        beams = self.lineage.beams
        # A step's places lie side by side, in (prompts, heads, places, size).
        new = [s.reshape(-1, beams, s.shape[1], s.shape[3]).transpose(1, 2) for s in (key_states, value_states)]
        if not self.buffers:
            self.buffers = [s.new_empty(*s.shape[:2], self.room * beams, s.shape[3]) for s in new]
            self.dtype, self.device = key_states.dtype, key_states.device
        if self.written * beams == self.buffers[0].shape[2]:  # cannot happen within max_new_tokens
            self.buffers = [pad(buffer, (0, 0, 0, 16 * beams)) for buffer in self.buffers]
        for buffer, states in zip(self.buffers, new, strict=True):
            buffer[:, :, self.written * beams : (self.written + 1) * beams] = states
        self.written += 1
        return self, self

    @property
    def shape(self) -> tuple[int, ...]:
        """As of keys that a model looks at: (prompts, heads, tokens, size)."""
        return (*self.buffers[0].shape[:2], self.written, self.buffers[0].shape[3])

    def get_seq_length(self) -> int:
        return self.width + self.written

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        """Keep these prompts, in ascending order."""
        self.buffers = [buffer[indices] for buffer in self.buffers]
        self.prompts.keep(indices)

    def attend(self, query: torch.Tensor, scale: float | None, bias: torch.Tensor | None) -> torch.Tensor:
        """Outputs of shape (rows, 1, heads, size). bias: scores to add for the written tokens."""
        beams, heads = self.lineage.beams, self.buffers[0].shape[1]
        asked = _asked(query, heads, beams)
        mask = self.lineage.mask(len(asked), self.written, asked.shape[2] // beams, bias)
        first = max(0, self.written - self.window) * beams if self.window else 0
        keys, values = (buffer[:, :, first : self.written * beams] for buffer in self.buffers)
        pieces = [over(asked, keys, values, None if mask is None else mask[..., first:], scale)]
        pieces += self.prompts.attend(asked, scale, self.window - self.written if self.window else None)
        if self.start is not None:
            every = asked.transpose(0, 1).flatten(1, 2)[None]
            output, scores = over(every, *self.start, None, scale)
            shape = (heads, *asked.shape[::2])
            pieces.append((output.reshape(*shape, -1).transpose(0, 1), scores.reshape(shape).transpose(0, 1)))
        return _answered(together(pieces), beams)


class Crossing(DynamicLayer):  # type: ignore[misc]
    """A layer that attends to what an encoder has read; beams of one prompt share it."""

    def __init__(self, prompts: Prompts, beams: int) -> None:
        super().__init__()
        self.prompts, self.beams = prompts, beams
        first = prompts.groups[0].keys
        self.dtype, self.device, self.is_initialized = first.dtype, first.device, True
        self.keys = self.values = self  # which a model takes without an update
        self.heads = first.shape[1]
        self.shape = (*first.shape[:2], 1, first.shape[3])
        """Of one place: what a model adds for places is then the same for all of them, and changes nothing."""

    def get_seq_length(self) -> int:
        return 1

    def reorder_cache(self, beam_idx: torch.Tensor) -> None:
        """Rows go on from rows of their own prompt, which has been read once."""

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        self.prompts.keep(indices)

    def attend(self, query: torch.Tensor, scale: float | None, bias: torch.Tensor | None) -> torch.Tensor:
        """Outputs of shape (rows, 1, heads, size)."""
        return _answered(together(self.prompts.attend(_asked(query, self.heads, self.beams), scale, None)), self.beams)


def _asked(query: torch.Tensor, heads: int, beams: int) -> torch.Tensor:
    """Queries (rows, heads, 1, size) as (prompts, heads of keys, queries, size): those of the heads that share keys,
    and of a prompt's beams, are queries of one head."""
    rows, _, _, size = query.shape
    return query.reshape(rows // beams, beams, heads, -1, size).transpose(1, 2).flatten(2, 3)


def _answered(made: torch.Tensor, beams: int) -> torch.Tensor:
    """Outputs (prompts, heads of keys, queries, size) as (rows, 1, heads, size)."""
    prompts, heads, _, size = made.shape
    return made.reshape(prompts, heads, beams, -1, size).transpose(1, 2).reshape(prompts * beams, 1, -1, size)
