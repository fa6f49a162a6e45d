"""Attention of a step over keys and values in 8 bits, whose sums are exact. Imports torch: import this module inside
methods only.

A product of floats may add up in another order when it has more columns or rows, and another last bit of an activation
is another int8 value now and then; an output would depend on its batch. Here queries, keys, shares and values are
integers of so few bits that every sum of them is exact in float32, in whatever order: 8 bits for keys and values, with
a scale for each token, and what float32 has left for queries and shares. So prompts can be read in any groups, and what
they share is kept and read once.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch.nn.functional import pad
from transformers.cache_utils import DynamicLayer

from dsum_bench.engines.pieces import (
    HIDDEN,
    Crossing,
    Lineage,
    Marks,
    Piece,
    Prompts,
    Writing,
    answer_of,
    asked_of,
    kept,
)

LARGEST = 127
EXACT = 2**24
"""Integers up to here are exact in float32."""
SHARES = torch.tensor(2.0**16)
"""Steps of one: the shares of a row, times LARGEST, are below EXACT for up to 133,000 tokens. A tensor, as other
numbers here: torch makes one of a float each time."""
LEAST = 2.0**-17
"""An exponential below this, of which the largest is 1, is no step. The others are multiples of 2**-40, and the sum of
8,192 of them is exact in double precision."""
BINARY, UNIT = torch.tensor(1 / math.log(2)), torch.tensor(1 / LARGEST)
SMALLEST = 1e-30
"""A token whose keys or values are zero has this as its largest."""
STEPS = 32
"""Parts are laid out for so many new tokens at once."""
CLOSE = 1.15
"""Groups become one where no more than so many times as much has to be read then: a group has costs of its own."""

Rounded = tuple[torch.Tensor, torch.Tensor]
"""Keys and values as int8, (2, rows, heads, width, size), and their scales, (2, rows, heads, 1, width)."""


def rounded(keys: torch.Tensor, values: torch.Tensor) -> Rounded:
    """Of shape (rows, heads, width, size) each."""
    both = torch.stack([keys, values])
    scales = both.abs().amax(dim=-1, keepdim=True).clamp_(min=SMALLEST).mul_(UNIT)
    return both.div_(scales).round_().to(torch.int8), scales.transpose(-1, -2)


@dataclass
class States:
    """Keys and values of a group of prompts in 8 bits. both, scales: as ``rounded`` returns them."""

    both: torch.Tensor
    scales: torch.Tensor
    marks: Marks

    @classmethod
    def of(cls, piece: Piece) -> States:
        """What is beyond the length of a row is zero, so that no scale depends on it."""
        both, scales = rounded(piece.keys, piece.values)
        beyond = torch.arange(both.shape[3]) >= piece.marks.lengths[:, None]
        return cls(both, scales.masked_fill(beyond[:, None, None], 0.0), piece.marks)

    def __len__(self) -> int:
        return self.both.shape[1]

    @property
    def width(self) -> int:
        """Tokens of the longest row, at least."""
        return self.both.shape[3]

    def rows(self, kept: torch.Tensor) -> States:
        """These rows, no wider than they need to be."""
        lengths = self.marks.lengths[kept]
        width = max(1, int(lengths.max()))
        return States(self.both[:, kept, :, :width], self.scales[:, kept, ..., :width], Marks(lengths))

    def widened(self, rows: int, width: int) -> States:
        """The first token of the first row, over and over."""
        both, scales = self.both[:, :1, :, :1], self.scales[:, :1, ..., :1]
        marks = Marks(torch.full((rows,), width))
        return States(both.repeat(1, rows, 1, width, 1), scales.repeat(1, rows, 1, 1, width), marks)


def joined(groups: Sequence[States]) -> list[States]:
    """Groups of which neighbours of about the same width are one."""
    made: list[list[States]] = []
    for group in groups:
        many = [*made[-1], group] if made else []
        rows, width = sum(map(len, many)), max((each.width for each in many), default=0)
        if many and rows * width <= CLOSE * sum(len(each) * each.width for each in many):
            made[-1] = many
        else:
            made.append([group])
    return [_one(many) for many in made]


def _one(groups: Sequence[States]) -> States:
    """The rows of all groups."""
    if len(groups) == 1:
        return groups[0]
    width = max(group.width for group in groups)
    both = torch.cat([pad(group.both, (0, 0, 0, width - group.width)) for group in groups], dim=1)
    scales = torch.cat([pad(group.scales, (0, width - group.width)) for group in groups], dim=1)
    return States(both, scales, Marks(torch.cat([group.marks.lengths for group in groups])))


class Room:
    """Memory that all layers use, one after the other: to get it anew for each product takes as long as the product."""

    def __init__(self) -> None:
        self.states = torch.empty(0)
        self.scores = torch.empty(0)

    def floats(self, shape: Sequence[int]) -> torch.Tensor:
        """For states of this shape."""
        if self.states.numel() < math.prod(shape):
            self.states = torch.empty(math.prod(shape))
        return self.states[: math.prod(shape)].view(*shape)

    def scored(self, shape: Sequence[int]) -> torch.Tensor:
        """For scores of this shape. Whatever is there is finite: it stays where a row has no places."""
        if self.scores.numel() < math.prod(shape):
            self.scores = torch.zeros(math.prod(shape))
        return self.scores[: math.prod(shape)].view(*shape)


class Part:
    """Keys and values at some places of the scores: those of ``count`` rows and heads from ``first`` on, or one row for
    all of them (``one``).

    Views are made here, and not in each step: of small networks they take as long as the products.
    """

    def __init__(
        self, both: torch.Tensor, scales: torch.Tensor, scores: torch.Tensor, room: Room, first: int | None
    ) -> None:
        """both, scales: as ``rounded`` returns them. scores: of all rows at these places, (rows, heads, queries,
        width). first: row; None for one row that all have."""
        rows, heads, queries, _ = scores.shape
        self.one = first is None
        self.keys, self.values = both.flatten(1, 2)
        self.floats = room.floats(self.keys.shape)
        self.turned = self.floats.transpose(1, 2)
        self.first, self.count = heads * (first or 0), len(self.keys)
        mine = scores.narrow(0, first or 0, both.shape[1])
        self.scores = scores.transpose(0, 1) if self.one else mine.flatten(0, 1)
        self.scales = scales[0].transpose(0, 1) if self.one else scales[0].flatten(0, 1)
        self.shape = (heads, rows, queries)

    def score(self, asked: torch.Tensor) -> None:
        """Write the scores of queries (rows and heads, queries, size)."""
        self.floats.copy_(self.keys)
        if not self.one:
            torch.mul(torch.bmm(asked.narrow(0, self.first, self.count), self.turned), self.scales, out=self.scores)
            return
        heads, rows, queries = self.shape
        every = asked.view(rows, heads, queries, -1).transpose(0, 1).reshape(heads, rows * queries, -1)
        torch.mul(torch.bmm(every, self.turned).view(heads, rows, queries, -1), self.scales, out=self.scores)

    def add(self, made: torch.Tensor) -> None:
        """Add what the shares, which have taken the place of the scores, take of the values; made is (rows and heads,
        queries, size)."""
        self.floats.copy_(self.values)
        if not self.one:
            made.narrow(0, self.first, self.count).baddbmm_(self.scores, self.floats)
            return
        heads, rows, queries = self.shape
        found = torch.bmm(self.scores.reshape(heads, rows * queries, -1), self.floats)
        made.view(rows, heads, queries, -1).add_(found.view(heads, rows, queries, -1).transpose(0, 1))


class Read:
    """What is read of prompts in order: the start of all of them, of one row, and the rest in groups. Behind their
    places are those of ``new`` tokens."""

    def __init__(self, start: States | None, groups: Sequence[States], new: int, room: Room) -> None:
        self.start, self.groups, self.new, self.room = start, joined(groups), new, room
        self.first = 0 if start is None else start.width
        self.places = 0
        self.scales = torch.zeros(0)
        self.masks: dict[tuple[int | None, int], torch.Tensor] = {}
        self.parts: list[Part] = []
        self.laid: tuple[int, int] | None = None

    def scale(self, rows: int, heads: int) -> None:
        """Gather the scales of keys and values, (2, rows, heads, 1, places and new ones)."""
        self.places = self.first + max((group.width for group in self.groups), default=0)
        self.scales = torch.zeros(2, rows, heads, 1, self.places + self.new)
        at = 0
        for group in self.groups:
            self.scales[:, at : at + len(group), ..., self.first : self.first + group.width] = group.scales
            at += len(group)
        if self.start is not None:
            self.scales[..., : self.first] = self.start.scales
        self.masks, self.laid = {}, None

    def lay(self, queries: int, written: torch.Tensor | None) -> None:
        """Lay out all parts for so many queries of a row. written: new states, (2, rows, heads, some places, size)."""
        _, rows, heads, _, _ = self.scales.shape
        end = self.places + (0 if written is None else written.shape[3])
        self.laid = queries, end
        self.whole = self.room.scored((rows, heads, queries, end))
        self.parts, at = [], 0
        for group in self.groups:
            stop = self.first + group.width
            self.parts.append(self._part(group.both, group.scales, slice(self.first, stop), at))
            at += len(group)
        if self.start is not None:
            self.parts.append(self._part(self.start.both, self.start.scales, slice(self.first), None))
        if written is not None:
            places = slice(self.places, end)
            self.parts.append(self._part(written, self.scales[..., places], places, 0))

    def _part(self, both: torch.Tensor, scales: torch.Tensor, places: slice, first: int | None) -> Part:
        return Part(both, scales, self.whole[..., places], self.room, first)

    def keep(self, rows: torch.Tensor) -> None:
        """Keep these, in ascending order."""
        written = self.scales[:, rows, ..., self.places :]
        self.groups = kept(self.groups, rows)
        self.scale(*written.shape[1:3])
        self.scales[..., self.places :] = written

    def mask(self, reach: int | None, hidden: int) -> torch.Tensor:
        """Scores to add, (rows, 1, 1, places and new ones), for a token that sees the last ``reach`` tokens of each
        prompt, or all of them. hidden: new places that it does not see."""
        if (reach, hidden) not in self.masks:
            mask, at = torch.zeros(self.scales.shape[1], 1, 1, self.places + self.new), 0
            for group in self.groups:
                rows, stop, at = slice(at, at + len(group)), self.first + group.width, at + len(group)
                shown = group.marks.mask(group.width, reach)
                if shown is not None:
                    mask[rows, ..., self.first : stop] = shown
                mask[rows, ..., stop : self.places] = HIDDEN
                if reach is not None:
                    lost = torch.arange(self.first) < (self.first + group.marks.lengths - reach)[:, None]
                    mask[rows, ..., : self.first].masked_fill_(lost[:, None, None], HIDDEN)
            mask[..., self.places : self.places + hidden] = HIDDEN
            self.masks = {(reach, hidden): mask}
        return self.masks[reach, hidden]

    def attend(
        self,
        asked: torch.Tensor,
        top: torch.Tensor,
        mask: torch.Tensor,
        new: int,
        added: torch.Tensor | None,
        scale: float | None,
    ) -> torch.Tensor:
        """Outputs of queries (rows, heads, queries, size), of the same shape, for the layout that there is.

        Args:
            top: the largest scale of the values of each row, (rows, heads, 1, 1). mask: scores to add.
            new: places that are written. added: scores to add for them. scale: of scores.
        """
        size, scores = asked.shape[3], self.whole
        step = asked.abs().amax(dim=-1, keepdim=True).clamp_(min=SMALLEST).mul_(_step(size))
        whole = torch.div(asked, step).round_().flatten(0, 1)
        for part in self.parts:
            part.score(whole)
        end = scores.shape[3]
        torch.addcmul(mask[..., :end], scores, step.mul_(size**-0.5 if scale is None else scale), out=scores)
        if added is not None:
            scores.narrow(3, self.places, new).add_(added)
        if self.places + new < end:
            scores[..., self.places + new :] = HIDDEN
        # torch's exp takes ten times as long for what is hidden; exp2 does not.
        scores.sub_(scores.amax(dim=-1, keepdim=True)).mul_(BINARY)
        shares = torch.threshold_(scores.exp2_(), LEAST, 0.0)
        sums = shares.sum(dim=-1, keepdim=True, dtype=torch.float64).float()
        shares.mul_(self.scales[1, ..., :end]).mul_(SHARES / (sums * top)).round_()
        made = torch.zeros_like(whole)
        for part in self.parts:
            part.add(made)
        return made.view(asked.shape).mul_(top / SHARES)


@cache
def _step(size: int) -> torch.Tensor:
    """Of the largest value of a query of this size: its products with a key are exact."""
    return torch.tensor(1 / (EXACT // (LARGEST * size)))


class SteadyWriting(Writing):
    """As ``Writing``, with all keys and values in 8 bits. read: of prompts; with places for all that is written."""

    def __init__(self, read: Read, width: int, room: int, lineage: Lineage, window: int = 0) -> None:
        super().__init__(None, Prompts([]), width, room, lineage, 0 if window >= width + room else window)
        self.read = read
        self.top = torch.full((), SMALLEST)

    def update(self, key_states: torch.Tensor, value_states: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        beams = self.lineage.beams
        new = [s.reshape(-1, beams, s.shape[1], s.shape[3]).transpose(1, 2) for s in (key_states, value_states)]
        both, scales = rounded(new[0], new[1])
        if not self.buffers:
            self.read.scale(*both.shape[1:3])
            self.buffers = [both.new_zeros(*both.shape[:3], self.room * beams, both.shape[4])]
            self.top = self.read.scales[1].amax(dim=-1, keepdim=True)
            self.dtype, self.device = key_states.dtype, key_states.device
        if self.written == self.room:  # cannot happen within max_new_tokens
            raise IndexError(f"there is room for {self.room} new tokens")
        first = self.written * beams
        self.buffers[0].narrow(3, first, beams).copy_(both)
        self.read.scales.narrow(4, self.read.places + first, beams).copy_(scales)
        self.top = torch.maximum(self.top, scales[1].amax(dim=-1, keepdim=True))
        self.written += 1
        return self, self

    @property
    def shape(self) -> tuple[int, ...]:
        shape = self.buffers[0].shape
        return (*shape[1:3], self.written, shape[4])

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        self.buffers = [self.buffers[0][:, indices]]
        self.top = self.top[indices]
        self.read.keep(indices)

    def attend(self, query: torch.Tensor, scale: float | None, bias: torch.Tensor | None) -> torch.Tensor:
        beams, read = self.lineage.beams, self.read
        asked = asked_of(query, self.buffers[0].shape[2], beams)
        steps = min(-(-self.written // STEPS) * STEPS, self.room)
        if read.laid != (asked.shape[2], read.places + steps * beams):
            read.lay(asked.shape[2], self.buffers[0][:, :, :, : steps * beams])
        first = max(0, self.written - self.window) * beams if self.window else 0
        mask = read.mask(self.window - self.written if self.window else None, first)
        added = self.lineage.mask(len(asked), self.written, asked.shape[2] // beams, bias)
        return answer_of(read.attend(asked, self.top, mask, self.written * beams, added, scale), beams)


class SteadyCrossing(Crossing):
    """As ``Crossing``, with all keys and values in 8 bits."""

    def __init__(self, read: Read, beams: int) -> None:
        DynamicLayer.__init__(self)
        self.read, self.beams = read, beams
        both = read.groups[0].both
        read.scale(sum(map(len, read.groups)), both.shape[2])
        self.take(both.shape[1:], both.device)

    def batch_select_indices(self, indices: torch.Tensor) -> None:
        self.read.keep(indices)

    def attend(self, query: torch.Tensor, scale: float | None, bias: torch.Tensor | None) -> torch.Tensor:
        asked, read = asked_of(query, self.heads, self.beams), self.read
        if read.laid != (asked.shape[2], read.places):
            read.lay(asked.shape[2], None)
            self.top = read.scales[1].amax(dim=-1, keepdim=True)
        return answer_of(read.attend(asked, self.top, read.mask(None, 0), 0, None, scale), self.beams)
