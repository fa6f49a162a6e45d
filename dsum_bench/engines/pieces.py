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

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol, Self, TypeVar

import torch
from torch.nn.functional import pad
from transformers.cache_utils import DynamicLayer

HIDDEN = -1e30
"""Added to the score of what is not seen. It is finite, so that a row that sees nothing of a piece is no NaN."""
BLOCK = 64
"""Tokens that a steady layer asks at once; with 128 more places are filled up than larger products save."""

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


@dataclass
class Marks:
    """What each row of a piece shows, the same for all layers. lengths: tokens of each row."""

    lengths: torch.Tensor
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
            self.known[key] = None if bool(shown.all()) else mask
        return self.known[key]


@dataclass
class Piece:
    """Keys and values of a group of prompts, (rows, heads, width, size), and how much of each row is filled."""

    keys: torch.Tensor
    values: torch.Tensor
    marks: Marks

    def __len__(self) -> int:
        return len(self.keys)

    def rows(self, kept: torch.Tensor) -> Piece:
        """These rows, no wider than they need to be."""
        lengths = self.marks.lengths[kept]
        width = max(1, int(lengths.max()))
        return Piece(self.keys[kept, :, :width], self.values[kept, :, :width], Marks(lengths))

    def widened(self, rows: int, width: int) -> Piece:
        """The first token of the first row, over and over."""
        keys, values = (t[:1, :, :1].repeat(rows, 1, width, 1) for t in (self.keys, self.values))
        return Piece(keys, values, Marks(torch.full((rows,), width)))


class Reading(DynamicLayer):  # type: ignore[misc]  # transformers has no types here
    """A layer while prompts are read in one pass, one after the other in a single row, so that nothing is filled up.

    Args:
        start: keys and values of what they all begin with, (1, heads, tokens, size) each, or None.
        spans: where in the row each prompt lies. window: tokens that the layer looks back, 0 for all.
        masks: made so far, for all layers.
        keep: what is done with the piece once the layer has attended to it: ``kept`` is what it returns.
    """

    def __init__(
        self,
        start: Pair | None,
        spans: Sequence[slice],
        window: int,
        steady: bool,
        masks: dict[Any, torch.Tensor],
        keep: Callable[[Piece], Any],
    ) -> None:
        super().__init__()
        self.keep, self.kept = keep, None
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
        if self.steady:
            self._attend_in_blocks(query, scale, made)
            self._keep()
            return made
        for span in self.spans:
            asked, keys, values = query[:, :, span], self.keys[:, :, span], self.values[:, :, span]
            if self.start is not None:
                keys, values = torch.cat([self.start[0], keys], 2), torch.cat([self.start[1], values], 2)
            queries, width = asked.shape[2], keys.shape[2]
            if queries:
                mask = self._mask(queries, width, width - queries)
                made[:, span] = over(asked, keys, values, mask, scale)[0].transpose(1, 2)
        self._keep()
        return made

    def _keep(self) -> None:
        """Values can be part of a larger tensor, which would stay as long as they do."""
        self.kept = self.keep(self.piece())
        self.keys = self.values = self.keys[:, :, :0]

    def _attend_in_blocks(self, query: torch.Tensor, scale: float | None, made: torch.Tensor) -> None:
        """A product may add up in another order when it has more columns or rows, and another last bit of an activation
        is another int8 value now and then. So tokens are asked in blocks at fixed places of their prompt, each with all
        that is before its end: these products are of one size beside whatever neighbours, and with any start."""
        spans = sorted(self.spans, key=lambda span: span.start - span.stop)
        skipped = self.length // BLOCK * BLOCK
        width = -(-(self.length + spans[0].stop - spans[0].start) // BLOCK) * BLOCK
        asked = query.new_zeros(len(spans), query.shape[1], width - skipped, query.shape[3])
        heads = self.keys.shape[1]
        keys = query.new_zeros(len(spans), heads, width, query.shape[3])
        values = query.new_zeros(len(spans), heads, width, self.values.shape[3])
        if self.start is not None:
            keys[:, :, : self.length], values[:, :, : self.length] = self.start
        places = [slice(self.length, self.length + span.stop - span.start) for span in spans]
        behind = [slice(place.start - skipped, place.stop - skipped) for place in places]
        for row, (span, place, own) in enumerate(zip(spans, places, behind, strict=True)):
            asked[row, :, own] = query[0, :, span]
            keys[row, :, place], values[row, :, place] = self.keys[0, :, span], self.values[0, :, span]
        for at in range(skipped, width, BLOCK):
            rows = sum(place.stop > at for place in places)
            block = asked[:rows, :, at - skipped : at - skipped + BLOCK]
            first = max(0, at - self.window) // BLOCK * BLOCK if self.window else 0
            mask = self._mask(BLOCK, at + BLOCK - first, at - first)
            seen = (slice(rows), slice(None), slice(first, at + BLOCK))
            block.copy_(over(block, keys[seen], values[seen], mask, scale)[0])
        for row, (span, own) in enumerate(zip(spans, behind, strict=True)):
            made[0, span] = asked[row, :, own].transpose(0, 1)

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

    def piece(self) -> Piece:
        """What was read, a row for each prompt."""
        lengths = [span.stop - span.start for span in self.spans]
        width = max(1, *lengths, 1)
        made = []
        for own in (self.keys, self.values):
            states = own.new_zeros(len(self.spans), own.shape[1], width, own.shape[3])
            for row, span in enumerate(self.spans):
                states[row, :, : span.stop - span.start] = own[0, :, span]
            made.append(states)
        return Piece(made[0], made[1], Marks(torch.tensor(lengths)))


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
    """Keys and values of prompts in order, in the groups that they were read in."""

    def __init__(self, groups: Sequence[Piece]) -> None:
        self.groups = list(groups)

    def keep(self, rows: torch.Tensor) -> None:
        """Keep these, in ascending order."""
        self.groups = kept(self.groups, rows)

    def attend(self, asked: torch.Tensor, scale: float | None, reach: int | None) -> list[Found]:
        """Attention of (prompts, heads, queries, size); nothing without prompts."""
        found, at = [], 0
        for piece in self.groups:
            end = at + len(piece)
            mask = piece.marks.mask(piece.keys.shape[2], reach)
            found.append(over(asked[at:end], piece.keys, piece.values, mask, scale))
            at = end
        if not found:
            return []
        outputs, scores = zip(*found, strict=True)
        return [(torch.cat(outputs), torch.cat(scores))]


class Group(Protocol):
    """Prompts that were read together."""

    def __len__(self) -> int: ...

    def rows(self, kept: torch.Tensor) -> Self:
        """These, no wider than they need to be."""
        ...


Kind = TypeVar("Kind", bound=Group)


def kept(groups: Sequence[Kind], rows: torch.Tensor) -> list[Kind]:
    """These rows of the groups, in ascending order."""
    found, at = [], 0
    for group in groups:
        here = rows[(rows >= at) & (rows < at + len(group))] - at
        at += len(group)
        if len(here):
            found.append(group.rows(here))
    return found


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
        asked = asked_of(query, heads, beams)
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
        return answer_of(together(pieces), beams)


class Crossing(DynamicLayer):  # type: ignore[misc]
    """A layer that attends to what an encoder has read; beams of one prompt share it."""

    def __init__(self, prompts: Prompts, beams: int) -> None:
        super().__init__()
        self.prompts, self.beams = prompts, beams
        first = prompts.groups[0].keys
        self.take(first.shape, first.device)

    def take(self, shape: Sequence[int], device: torch.device) -> None:
        """shape: of keys."""
        self.dtype, self.device, self.is_initialized = torch.float32, device, True
        self.keys = self.values = self  # which a model takes without an update
        self.heads = shape[1]
        self.shape = (*shape[:2], 1, shape[3])
        """Of one place: what a model adds for places is then the same for all of them, and changes nothing."""

    def get_seq_length(self) -> int:
        return 1

    def reorder_cache(self, beam_idx: torch.Tensor) -> None:
        """Rows go on from rows of their own prompt, which has been read once."""

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        self.prompts.keep(indices)

    def attend(self, query: torch.Tensor, scale: float | None, bias: torch.Tensor | None) -> torch.Tensor:
        """Outputs of shape (rows, 1, heads, size)."""
        return answer_of(
            together(self.prompts.attend(asked_of(query, self.heads, self.beams), scale, None)), self.beams
        )


def asked_of(query: torch.Tensor, heads: int, beams: int) -> torch.Tensor:
    """Queries (rows, heads, 1, size) as (prompts, heads of keys, queries, size): those of the heads that share keys,
    and of a prompt's beams, are queries of one head."""
    rows, _, _, size = query.shape
    return query.reshape(rows // beams, beams, heads, -1, size).transpose(1, 2).flatten(2, 3)


def answer_of(made: torch.Tensor, beams: int) -> torch.Tensor:
    """Outputs (prompts, heads of keys, queries, size) as (rows, 1, heads, size)."""
    prompts, heads, _, size = made.shape
    return made.reshape(prompts, heads, beams, -1, size).transpose(1, 2).reshape(prompts * beams, 1, -1, size)
