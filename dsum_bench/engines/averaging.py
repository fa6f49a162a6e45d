"""Next-token probabilities of several networks, averaged. Imports torch: import this module inside methods only.

One network writes, as ever; the others run in step with it from within a logits processor. So batches, beams and
strategies are those of the network that writes.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from copy import copy
from dataclasses import dataclass
from math import log
from typing import Any

import torch
from transformers import LogitsProcessor

from dsum_bench.decoding.base import Batch, Decoding
from dsum_bench.spec import Prompt


@dataclass(frozen=True, slots=True)
class Member:
    """A network that runs beside the one that writes. weight: its share, above 0; all together are 1."""

    network: Any
    weight: float


def averaged(decoding: Decoding, own: float, members: Sequence[Member], prompts: Sequence[Prompt]) -> Decoding:
    """The strategy, choosing from the weighted mean of all networks' probabilities.

    own: weight of the network that writes, above 0. members: the others.
    """
    kind = type(decoding)
    asked = {prompt.sample_id: prompt.token_ids for prompt in prompts}

    def processors(self: Decoding, batch: Batch) -> list[LogitsProcessor]:
        return [Average(own, members, asked, batch), *kind.processors(self, batch)]

    made = copy(decoding)
    made.__class__ = type("Averaged", (kind,), {"processors": processors})
    return made


class Average(LogitsProcessor):  # type: ignore[misc]  # transformers has no types here
    """Turns the scores of the network that writes into logarithms of the weighted mean of all probabilities.

    What is impossible before stays so. Rows may change places between steps, as beams do: each member's keys and values
    follow the tokens.
    """

    def __init__(
        self, own: float, members: Sequence[Member], prompts: Mapping[str, Sequence[int]], batch: Batch
    ) -> None:
        self.own = own
        self.members = members
        self.prompts = prompts
        self.batch = batch
        self.states: list[State] = []
        self.seen: torch.Tensor | None = None

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        names = self.batch.sample_ids
        if self.seen is None:
            asked = [self.prompts[name] for name in names]
            self.states = [State(m.network, asked, len(input_ids) // len(names)) for m in self.members]
            steps = [state.begin(input_ids[:, self._start(state) :]) for state in self.states]
        else:
            rows = _origins(self.seen, input_ids[:, :-1], len(input_ids) // len(names))
            steps = [state.step(input_ids[:, -1:], rows) for state in self.states]
        self.seen = input_ids
        # In logarithms, since what a strategy takes where the best is forbidden may be less likely than float32 holds.
        mean = log(self.own) + scores.float().log_softmax(dim=-1)
        for member, logits in zip(self.members, steps, strict=True):
            mean = torch.logaddexp(mean, log(member.weight) + logits.float().log_softmax(dim=-1).to(mean.device))
        return mean.masked_fill(scores == -float("inf"), -float("inf")).to(scores.dtype)

    def _start(self, state: State) -> int:
        """Where in the sequence of the network that writes a member's new tokens begin."""
        return 0 if state.encoder else self.batch.prompt_width


class State:
    """How far one network has come with one batch.

    Args:
        prompts: token ids, one for each prompt. beams: rows of each.
    """

    def __init__(self, network: Any, prompts: Sequence[Sequence[int]], beams: int) -> None:
        self.network = network
        self.prompts = prompts
        self.beams = beams
        self.encoder = bool(network.config.is_encoder_decoder)
        base = network.get_base_model() if hasattr(network, "get_base_model") else network
        taken = inspect.signature(base.forward).parameters
        self.last = {"logits_to_keep": 1} if "logits_to_keep" in taken else {}
        self.placed = "position_ids" in taken
        self.cache: Any = None
        self.mask = torch.zeros(0)
        self.hidden: Any = None

    @torch.inference_mode()
    def begin(self, written: torch.Tensor) -> torch.Tensor:
        """Read the prompts and what is written already; scores of the next token, shape (rows, vocabulary). Prompts of
        the same tokens, as those of several sampled outputs are, are read once.

        written: shape (rows, tokens); of an encoder-decoder with the token that its output starts from.
        """
        once = list(dict.fromkeys(map(tuple, self.prompts)))
        device = self.network.device
        ids, mask = (t.to(device) for t in self._tensors(once))
        places = {tokens: place for place, tokens in enumerate(once)}
        found = torch.tensor([places[tuple(tokens)] for tokens in self.prompts], device=device)
        rows, written = found.repeat_interleave(self.beams), written.to(device)
        if self.encoder:
            self.hidden = self.network.get_encoder()(input_ids=ids, attention_mask=mask)
            self.hidden.last_hidden_state = self.hidden.last_hidden_state[rows]
            self.mask = mask[rows]
            return self._decode(written)
        if written.shape[1]:  # an output is taken up in the middle
            self.mask = torch.cat([mask[rows], mask.new_ones(written.shape)], dim=1)
            return self._read(torch.cat([ids[rows], written], dim=1))
        self.mask = mask
        logits = self._read(ids)
        self.cache.batch_select_indices(rows)
        self.mask = mask[rows]
        return logits[rows]

    def _tensors(self, prompts: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
        """Ids and mask, shape (prompts, longest); a decoder's are filled up on the left."""
        width = max(map(len, prompts))
        ids = torch.zeros(len(prompts), width, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, tokens in enumerate(prompts):
            place = slice(0, len(tokens)) if self.encoder else slice(width - len(tokens), width)
            ids[row, place], mask[row, place] = torch.tensor(tokens), 1
        return ids, mask

    @torch.inference_mode()
    def step(self, tokens: torch.Tensor, rows: torch.Tensor | None) -> torch.Tensor:
        """Scores after one more token a row, shape (rows, vocabulary).

        tokens: shape (rows, 1). rows: which rows of the step before they go on from; None for the same.
        """
        tokens = tokens.to(self.network.device)
        if rows is not None:
            rows = rows.to(self.network.device)
            self.cache.reorder_cache(rows)
            # Beams of a prompt share mask and encoder, so these stay.
        if self.encoder:
            return self._decode(tokens)
        self.mask = torch.cat([self.mask, self.mask.new_ones(tokens.shape)], dim=1)
        return self._read(tokens)

    def _read(self, ids: torch.Tensor) -> torch.Tensor:
        places = (self.mask.cumsum(1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        found = self.network(
            input_ids=ids,
            attention_mask=self.mask,
            past_key_values=self.cache,
            use_cache=True,
            **({"position_ids": places} if self.placed else {}),
            **self.last,
        )
        return self._taken(found)

    def _decode(self, ids: torch.Tensor) -> torch.Tensor:
        found = self.network(
            encoder_outputs=self.hidden,
            attention_mask=self.mask,
            decoder_input_ids=ids,
            past_key_values=self.cache,
            use_cache=True,
        )
        return self._taken(found)

    def _taken(self, found: Any) -> torch.Tensor:
        self.cache = found.past_key_values
        logits: torch.Tensor = found.logits[:, -1]
        return logits


def _origins(before: torch.Tensor, now: torch.Tensor, beams: int) -> torch.Tensor | None:
    """Which row of the step before each row goes on from, found by its tokens; None where none has moved.

    Rows of the same prompt with the same tokens have the same keys and values, so that either will do.
    """
    if torch.equal(before, now):
        return None
    grouped = before.view(-1, beams, before.shape[1]), now.view(-1, beams, now.shape[1])
    same = (grouped[1][:, :, None] == grouped[0][:, None]).all(dim=-1)
    first = torch.arange(len(same), device=before.device)[:, None] * beams
    return (first + same.int().argmax(dim=-1)).flatten()
