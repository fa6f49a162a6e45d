"""An encoder-decoder that reads each prompt once, and writes over keys and values in pieces, on a CPU. Imports torch:
import this module inside methods only.

``generate`` alone computes the decoder's keys and values of a prompt once for each beam, keeps them as often, and
copies all of them in every step.
"""

from __future__ import annotations

from collections.abc import Sequence
from time import perf_counter
from typing import Any

import torch
from transformers import EncoderDecoderCache
from transformers.cache_utils import DynamicLayer
from transformers.modeling_outputs import BaseModelOutput

from dsum_bench.engines.exact import Read, Room, States, SteadyCrossing, SteadyWriting
from dsum_bench.engines.pieces import Crossing, Lineage, Marks, Piece, Prompts, Writing
from dsum_bench.engines.reading import CLOSE, CLOSE_IN_INT8, Written, chosen, in_pieces, layered
from dsum_bench.engines.steady import STEADY

GROUP = 512
"""Tokens that are read at once, of rows that are filled up: more are no faster, and more is filled up."""
TRIED = (((1, 2, 3, 4), (0, 1, 2, 3)), ((5, 4, 3, 2), (1, 1, 3, 2)), ((3, 1, 2, 5), (1, 0, 2, 2)))
"""What four rows, two of each prompt, are given in three steps to see whether pieces work: tokens, and the rows that
each goes on from."""


class Encoder:
    """Reads prompts in groups.

    Args:
        network: an encoder-decoder as ``works`` has found it.
    """

    def __init__(self, network: Any, steady: bool = False) -> None:
        self.network = network
        self.steady = steady

    def read(self, rows: Sequence[Sequence[int]]) -> list[Any]:
        """The decoder's keys and values of all tokens of each row, for each layer."""
        width = max(map(len, rows))
        ids = torch.tensor([[*row, *[0] * (width - len(row))] for row in rows])
        lengths = torch.tensor([len(row) for row in rows])
        mask = (torch.arange(width) < lengths[:, None]).long()
        # The decoder makes them in its first step, whatever token it is given.
        found = self.network(input_ids=ids, attention_mask=mask, decoder_input_ids=ids[:, :1], use_cache=True)
        both = found.past_key_values
        layers = both.cross_attention_cache.layers
        if any(type(layer) is not DynamicLayer for layer in (*layers, *both.self_attention_cache.layers)):
            raise TypeError("this decoder keeps its keys in a way of its own")
        marks = Marks(lengths)
        pieces = [Piece(layer.keys.contiguous(), layer.values.contiguous(), marks) for layer in layers]
        return [States.of(piece) for piece in pieces] if self.steady else list(pieces)

    def cache(
        self, groups: Sequence[list[Any]], width: int, room: int, rows: Sequence[int], lineage: Lineage
    ) -> EncoderDecoderCache:
        """A cache to write with.

        Args:
            groups: what was read; they are empty afterwards. rows: which of their rows each prompt of the batch is,
                ascending.
            width: tokens that are written already. room: new tokens that there may be. lineage: a new one.
        """
        groups, memory = chosen(groups, rows), Room()
        written: list[DynamicLayer] = []
        read: list[DynamicLayer] = []
        for _ in range(len(groups[0])):
            own = [group.pop(0) for group in groups]
            if self.steady:
                written.append(SteadyWriting(Read(None, [], room * lineage.beams, memory), width, room, lineage))
                read.append(SteadyCrossing(Read(None, own, 0, memory), lineage.beams))
            else:
                written.append(Writing(None, Prompts([]), width, room, lineage))
                read.append(Crossing(Prompts(own), lineage.beams))
        return EncoderDecoderCache(Written(written, lineage), layered(read))

    def starts(self, rows: int) -> torch.Tensor:
        """The token that outputs start from, (rows, 1)."""
        own = self.network.generation_config
        start = own.bos_token_id if own.decoder_start_token_id is None else own.decoder_start_token_id
        return torch.full((rows, 1), start)

    def step_seconds(self, rows: int, width: int, token: int) -> float:
        """Seconds of one new token for so many prompts of ``width`` tokens; the better of two tries."""
        wide = [piece.widened(rows, width) for piece in self.read([(token,)])]
        cache, found = self.cache([wide], 0, 2, range(rows), Lineage(1)), []
        del wide
        with in_pieces(self.network):
            for _ in range(2):
                start = perf_counter()
                _forward(self.network, torch.full((rows, 1), token), cache)
                found.append(perf_counter() - start)
        return min(found)


def given(ids: torch.Tensor, mask: torch.Tensor) -> dict[str, Any]:
    """Arguments of ``generate`` that go on from what is read and written. ids, mask: of the written tokens."""
    return {
        "input_ids": ids[:, :1],  # it asks how many prompts there are
        "encoder_outputs": _read_already(len(ids)),
        "decoder_input_ids": ids,
        "decoder_attention_mask": mask,
    }


def _read_already(rows: int) -> BaseModelOutput:
    """What stands for the encoder's output where the decoder has its keys and values."""
    return BaseModelOutput(last_hidden_state=torch.zeros(rows, 1, 1))


def _forward(network: Any, ids: torch.Tensor, cache: EncoderDecoderCache) -> Any:
    """One step of the decoder."""
    read = _read_already(len(ids))
    return network(encoder_outputs=read, decoder_input_ids=ids, past_key_values=cache, use_cache=True)


@torch.inference_mode()
def works(network: Any, end: int, steady: bool) -> bool:
    """Whether this network, on a CPU, scores tokens over pieces as it does by itself. Tried out on two short rows with
    two beams each: a model may do with its keys and values what nobody has foreseen."""
    own = STEADY if steady else "sdpa"
    if network.device.type != "cpu" or network.dtype != torch.float32 or network.config._attn_implementation != own:
        return False
    rows, written = [(1, 2, 3, 5, 4, end), (4, 2, end)], torch.zeros(4, 0, dtype=torch.long)
    reader = Encoder(network, steady)
    try:
        cache = reader.cache([reader.read(rows)], 0, len(TRIED), (0, 1), Lineage(2))
        for tokens, origins in TRIED:
            cache.reorder_cache(torch.tensor(origins))
            written = torch.cat([written[list(origins)], torch.tensor(tokens)[:, None]], dim=1)
            with in_pieces(network):
                found = _forward(network, written[:, -1:], cache).logits[:, -1]
        each = [(torch.tensor([row, row]), written[2 * place : 2 * place + 2]) for place, row in enumerate(rows)]
        alone = torch.cat([network(input_ids=ids, decoder_input_ids=out).logits[:, -1] for ids, out in each])
    except (TypeError, AttributeError, ValueError, RuntimeError, KeyError, IndexError):
        return False
    return float((found - alone).norm()) <= (CLOSE_IN_INT8 if steady else CLOSE) * float(alone.norm())
