"""A decoder that reads prompts, and writes, over keys and values in pieces. Imports torch: import this module inside
methods only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from itertools import accumulate
from typing import Any

import torch
from transformers import AttentionInterface
from transformers.cache_utils import DynamicLayer, DynamicSlidingWindowLayer

from dsum_bench.engines.allocation import trim
from dsum_bench.engines.cache import Cache
from dsum_bench.engines.exact import Read, Room, States, SteadyWriting
from dsum_bench.engines.pieces import Lineage, Marks, Pair, Piece, Prompts, Reading, Writing

NAME = "dsum-bench-pieces"
CLOSE, CLOSE_IN_INT8 = 1e-3, 0.2
"""Largest difference of scores, relative to their size, that is rounding."""


def _attention(
    module: Any, query: torch.Tensor, key: Any, value: Any, mask: Any, scaling: float | None = None, **kwargs: Any
) -> tuple[torch.Tensor, None]:
    if kwargs.get("softcap"):
        raise TypeError("this layer computes attention in a way of its own")
    # The key is what update() of Reading, Writing and Crossing has returned.
    return key.attend(query, scaling, kwargs.get("position_bias")), None


AttentionInterface.register(NAME, _attention)


class Reader:
    """Reads prompts in groups, what they begin with only once.

    Args:
        network: a decoder with attention as ``works`` has found it.
        start: ids that all prompts begin with; none where that is not to be made use of.
    """

    def __init__(self, network: Any, start: Sequence[int], steady: bool = False) -> None:
        self.network = network
        self.windows = _windows(network)
        self.start, self.steady = start, steady
        self._read: list[Pair] = []
        self._states: list[States] = []

    def read(self, rows: Sequence[Sequence[int]]) -> list[Any]:
        """Keys and values of the tokens of each row behind the start, for each layer."""
        if self.start and not self._read:
            pieces: list[Piece] = self._pass([self.start], lambda piece: piece)
            self._read = [(piece.keys, piece.values) for piece in pieces]
            self._states = [States.of(piece) for piece in pieces] if self.steady else []
        marks = Marks(torch.tensor([len(row) - len(self.start) for row in rows]))

        def keep(piece: Piece) -> Piece | States:
            piece.marks = marks  # the same for all layers
            return States.of(piece) if self.steady else piece

        made = self._pass([row[len(self.start) :] for row in rows], keep)
        if self.steady:
            trim()  # what is left between the states of all layers
        return made

    def _pass(self, rows: Sequence[Sequence[int]], keep: Callable[[Piece], Any]) -> list[Any]:
        """What is kept of each layer."""
        ends = list(accumulate(len(row) for row in rows))
        spans = [slice(end - len(row), end) for end, row in zip(ends, rows, strict=True)]
        starts: Sequence[Pair | None] = self._read or [None] * len(self.windows)
        masks: dict[Any, torch.Tensor] = {}
        layers = [
            Reading(start, spans, window, self.steady, masks, keep)
            for start, window in zip(starts, self.windows, strict=True)
        ]
        missing = max(0, 1 - ends[-1])
        ids = torch.tensor([[token for row in rows for token in row] + [0] * missing])
        places = torch.cat([*[torch.arange(len(row)) for row in rows], torch.zeros(missing, dtype=torch.long)])
        forward(self.network, ids, places[None] + layers[0].length, layered(layers))
        return [layer.kept for layer in layers]

    def cache(self, groups: Sequence[list[Any]], width: int, room: int, rows: Sequence[int], lineage: Lineage) -> Cache:
        """A cache to write with.

        Args:
            groups: what was read; they are empty afterwards. rows: which of their rows each prompt of the batch is,
                ascending.
            width: tokens of the widest row, with the start. room: new tokens that there may be. lineage: a new one.
        """
        none: list[None] = [None] * len(self.windows)
        groups, memory = chosen(groups, rows), Room()
        layers: list[DynamicLayer] = []
        for place, window in enumerate(self.windows):
            own = [group.pop(0) for group in groups]
            if self.steady:
                read = Read((self._states or none)[place], own, room * lineage.beams, memory)
                layers.append(SteadyWriting(read, width, room, lineage, window))
            else:
                layers.append(Writing((self._read or none)[place], Prompts(own), width, room, lineage, window))
        return Written(layers, lineage)


class Written(Cache):  # type: ignore[misc]
    """Layers of which no beam has to be moved."""

    def __init__(self, layers: Sequence[DynamicLayer], lineage: Lineage) -> None:
        super().__init__()
        self.layers, self.lineage = list(layers), lineage

    def reorder_cache(self, beam_idx: torch.Tensor) -> None:
        self.lineage.reorder(beam_idx)


def chosen(groups: Sequence[list[Any]], rows: Sequence[int]) -> Sequence[list[Any]]:
    """These rows of the groups; a prompt that is asked for several outputs has as many."""
    if list(rows) == list(range(sum(len(group[0]) for group in groups))):
        return groups
    made, at = [], 0
    for group in groups:
        end = at + len(group[0])
        here = torch.tensor([row - at for row in rows if at <= row < end])
        made.append([piece.rows(here) for piece in group])
        at = end
    return made


def forward(network: Any, ids: torch.Tensor, places: torch.Tensor, cache: Cache) -> Any:
    """One pass of the network over tokens at these places."""
    return network(input_ids=ids, position_ids=places, past_key_values=cache, use_cache=True, logits_to_keep=1)


@contextmanager
def in_pieces(network: Any) -> Iterator[None]:
    """Let the network compute attention over pieces, without masks of its own."""
    base = network.get_base_model() if hasattr(network, "get_base_model") else network
    before = base.config._attn_implementation
    base.set_attn_implementation(NAME)
    try:
        yield
    finally:
        base.set_attn_implementation(before)


@torch.inference_mode()
def works(network: Any, end: int, steady: bool) -> bool:
    """Whether this network, on a CPU, scores a token over pieces as it does by itself. Tried out on two short rows: a
    model may do with its keys and values what nobody has foreseen."""
    if network.device.type != "cpu" or network.dtype != torch.float32 or network.config._attn_implementation != "sdpa":
        return False
    rows = [(end, 1, 2, 3, 5, 4), (end, 1, 4, 2)]
    alone = torch.cat([network(input_ids=torch.tensor([row]), logits_to_keep=1).logits[:, -1] for row in rows])
    seen = min((window for window in _windows(network) if window), default=len(rows[0]))
    reader = Reader(network, rows[0][:2] if seen >= len(rows[0]) else (), steady)
    try:
        with in_pieces(network):
            cache = reader.cache([reader.read([row[:-1] for row in rows])], 5, 1, (0, 1), Lineage(1))
            last, places = (torch.tensor([[f(row)] for row in rows]) for f in (lambda r: r[-1], lambda r: len(r) - 1))
            found = forward(network, last, places, cache).logits[:, -1]
    except (TypeError, AttributeError, ValueError, RuntimeError, KeyError, IndexError):
        return False
    return float((found - alone).norm()) <= (CLOSE_IN_INT8 if steady else CLOSE) * float(alone.norm())


def layered(layers: Sequence[DynamicLayer]) -> Cache:
    made = Cache()
    made.layers = list(layers)
    return made


def _windows(network: Any) -> list[int]:
    """Tokens that each layer looks back, 0 for all."""
    layers = Cache(config=network.config).layers
    return [layer.sliding_window if type(layer) is DynamicSlidingWindowLayer else 0 for layer in layers]
