"""From prompts to new tokens with transformers' ``generate``, without reading anything twice.

Six things are done around it, and each leaves every text as it is:

- what all prompts begin with (system text, instruction, examples) is read once for all of them;
- prompts are read in small groups of like length, so that little is filled up, and answered in large ones;
- a prompt is read once however many beams it is answered with: ``generate`` alone reads it once for each;
- prompts of the same tokens, as those of several sampled outputs are, are read once;
- rows that have ended leave the batch once they are half of it, on a CPU with beams too (``leaving``);
- on a CPU, keys and values lie in pieces, each of which is there, and read, once (``pieces``, and ``encoding`` for
  encoder-decoders).

Imports torch: import this module inside methods only.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import torch
from transformers import StoppingCriteria

from dsum_bench.decoding.base import Batch, Decoding
from dsum_bench.engines import cache as caches
from dsum_bench.engines import encoding, reading
from dsum_bench.engines.batching import READ
from dsum_bench.engines.cache import Cache
from dsum_bench.engines.leaving import leaving
from dsum_bench.engines.pieces import Lineage
from dsum_bench.engines.steady import STEADY
from dsum_bench.spec import Prompt

SHORTEST = 16
"""A shared beginning of fewer tokens is not worth a pass of its own."""
SMALLEST = 4
"""A batch of fewer rows is not cut down further."""


@dataclass(frozen=True, slots=True)
class OutputTokens:
    """ends: ids that end an output. pad: id that fills rows up; it is masked. tags: ids that occur in speaker tags."""

    ends: tuple[int, ...]
    pad: int
    tags: frozenset[int]
    tokenizer: Any = None


class Writer:
    """Writes the outputs of one run's prompts.

    Args:
        network: a decoder or an encoder-decoder.
        prompts: all prompts of the run; only what they share is kept of them.
        left: whether rows are filled up on the left, as a decoder's must be.
        group: tokens that are read at once.
        steady: let no row depend on the others by as much as a bit. False afterwards where that cannot be had.
    """

    def __init__(
        self,
        network: Any,
        vocabulary: OutputTokens,
        prompts: Sequence[Prompt],
        left: bool,
        group: int = READ,
        steady: bool = False,
    ) -> None:
        self.network = network
        self.vocabulary = vocabulary
        self.left = left
        self.group = group // 4 if steady else group  # products in int8 are as fast with fewer rows, and take less room
        takes = _takes(network)
        placed = left and {"position_ids", "past_key_values"} <= takes.keys()
        self.window = caches.window(network) if placed else None
        self.kept = {"logits_to_keep": 1} if "logits_to_keep" in takes else {}
        self.shared: tuple[int, ...] = shared_start(prompts) if self.window is not None else ()
        self._read: Cache | None = None
        encodes = {"encoder_outputs", "past_key_values"} <= takes.keys()
        possible = encodes or (self.window is not None and bool(self.kept))
        self.in_pieces = possible and (encoding if encodes else reading).works(network, vocabulary.ends[0], steady)
        self.encoder = encoding.Encoder(network, steady) if encodes and self.in_pieces else None
        self.steady = steady and (self.in_pieces or network.config._attn_implementation == STEADY)
        self._readers: dict[tuple[int, ...], reading.Reader] = {}

    @torch.inference_mode()
    def write(
        self, batch: Sequence[Prompt], decoding: Decoding, arguments: Mapping[str, Any], pulse: StoppingCriteria
    ) -> list[list[int]]:
        """New tokens of each prompt, end and filling tokens included.

        Args:
            arguments: settings for ``generate``; those of decoding among them.
            pulse: told of every step.
        """
        if self.in_pieces:
            once, rows = _distinct(batch)
            order = sorted(range(len(batch)), key=rows.__getitem__)
            batch = [batch[i] for i in order]
            found = self._write_in_pieces(batch, once, sorted(rows), decoding, arguments, pulse)
            return [row for _, row in sorted(zip(order, found, strict=True))]
        if self.window is None:
            ids, mask = self._tensors(batch)
            info = self._info(batch, ids.shape[1] if self.left else 1)
            written = self._generate(ids, mask, info, decoding, arguments, [pulse])
            return [row[info.prompt_width :] for row in written.tolist()]
        new, width = int(arguments["max_new_tokens"]), max(len(p.token_ids) for p in batch)
        start = self._start(width + new)
        once, rows = _distinct(batch)
        parts = [self._read_group(group, start) for group in _groups(once, len(start), self.group)]
        ids, mask = (torch.cat([self._widened(part[i], width) for part in parts]) for i in (0, 1))
        cache = caches.joined([part[2] for part in parts], width - 1, new, decoding.beams, self.network.config)
        del parts
        if len(once) < len(batch):
            index = torch.tensor(rows, device=ids.device)
            ids, mask = ids[index], mask[index]
            beams = torch.arange(decoding.beams, device=ids.device)
            cache.batch_select_indices((index[:, None] * decoding.beams + beams).flatten())
        return self._shrinking(ids, mask, cache, self._info(batch, width), decoding, arguments, pulse)

    def _start(self, width: int) -> tuple[int, ...]:
        """What prompts begin with, where it pays to read it once. width: of the batch with its new tokens."""
        # A gap after the shared start moves it out of the sight of layers that see only the last tokens.
        sees = self.window == 0 or width <= (self.window or 0)
        return self.shared if sees and len(self.shared) >= SHORTEST else ()

    def _write_in_pieces(
        self,
        batch: Sequence[Prompt],
        once: Sequence[Prompt],
        rows: Sequence[int],
        decoding: Decoding,
        arguments: Mapping[str, Any],
        pulse: StoppingCriteria,
    ) -> list[list[int]]:
        """As ``write``. once: the prompts that differ. rows: which of them each prompt of the batch is, ascending."""
        new = int(arguments["max_new_tokens"])
        reader: encoding.Encoder | reading.Reader
        if self.encoder is not None:
            reader, width = self.encoder, 0
            ids = reader.starts(len(batch))
            mask = torch.ones_like(ids)
            few = _groups(once, 0, min(self.group, encoding.GROUP))
            groups = [reader.read([p.token_ids for p in group]) for group in few]
        else:
            ids, mask = self._tensors(batch)
            width = ids.shape[1] - 1
            start = self._start(width + 1 + new)
            reader = self._readers.setdefault(start, reading.Reader(self.network, start, self.steady))
            read = _groups(once, len(start), self.group)
            with reading.in_pieces(self.network):
                groups = [reader.read([p.token_ids[:-1] for p in group]) for group in read]
        lineage = Lineage(decoding.beams)
        cache = reader.cache(groups, width, new, rows, lineage)
        del groups
        with reading.in_pieces(self.network), leaving(self.network, cache, lineage):
            return self._shrinking(ids, mask, cache, self._info(batch, ids.shape[1]), decoding, arguments, pulse)

    def _info(self, batch: Sequence[Prompt], width: int) -> Batch:
        words = self.vocabulary
        names, dialogues = tuple(p.sample_id for p in batch), tuple(p.dialogue for p in batch)
        return Batch(names, width, words.tags, dialogues, words.ends, words.tokenizer)

    @torch.inference_mode()
    def step_seconds(self, rows: int, width: int) -> float:
        """Seconds of one new token for a batch of so many rows of ``width`` tokens; the better of two tries."""
        if self.in_pieces:
            return self._step_in_pieces(rows, width)
        one = Cache(config=self.network.config)
        ids = torch.full((1, 1), self.vocabulary.ends[0], device=self.network.device)
        self._forward(ids, torch.ones_like(ids), one)
        cache = caches.joined([one], width, 2, rows, self.network.config)
        ids, found = ids.expand(rows, 1), []
        for step in (1, 2):
            start = perf_counter()
            self._forward(ids, ids.new_ones(rows, width + step), cache)
            if self.network.device.type == "cuda":
                torch.cuda.synchronize()
            found.append(perf_counter() - start)
        return min(found)

    def _step_in_pieces(self, rows: int, width: int) -> float:
        if self.encoder is not None:
            return self.encoder.step_seconds(rows, width, self.vocabulary.ends[0])
        reader = reading.Reader(self.network, (), self.steady)
        found = []
        with reading.in_pieces(self.network):
            wide = [piece.widened(rows, width) for piece in reader.read([self.vocabulary.ends[:1]])]
            cache = reader.cache([wide], width, 2, range(rows), Lineage(1))
            del wide
            for step in (0, 1):
                start = perf_counter()
                ids = torch.full((rows, 1), self.vocabulary.ends[0])
                reading.forward(self.network, ids, torch.full_like(ids, width + step), cache)
                found.append(perf_counter() - start)
        return min(found)

    def _shrinking(
        self,
        ids: torch.Tensor,
        mask: torch.Tensor,
        cache: Cache,
        info: Batch,
        decoding: Decoding,
        arguments: Mapping[str, Any],
        pulse: StoppingCriteria,
    ) -> list[list[int]]:
        """Generate; whenever half of the rows have ended, continue with the others alone."""
        width, new = info.prompt_width, int(arguments["max_new_tokens"])
        least = int(arguments.get("min_new_tokens") or 0)
        found: list[list[int]] = [[]] * len(ids)
        left = torch.arange(len(ids), device=ids.device)
        while True:
            done = ids.shape[1] - width
            bounds = {"max_new_tokens": new - done, "min_new_tokens": max(0, least - done) or None}
            half = Half(self.vocabulary.ends, width)
            stops = [pulse, half] if decoding.beams == 1 and decoding.continues else [pulse]
            ids = self._generate(ids, mask, info, decoding, {**arguments, **bounds}, stops, cache)
            for row, tokens in zip(left.tolist(), ids[:, width:].tolist(), strict=True):
                found[row] = tokens
            going = torch.zeros(len(ids), dtype=torch.bool) if len(stops) == 1 else ~half.ended
            if ids.shape[1] - width >= new or not going.any():
                return found
            keep = going.nonzero().flatten()
            mask = torch.cat([mask, mask.new_ones(len(mask), ids.shape[1] - mask.shape[1])], dim=1)[keep]
            ids, left = ids[keep], left[keep]
            cache.batch_select_indices(keep)
            info = info.keep(keep.tolist())

    def _generate(
        self,
        ids: torch.Tensor,
        mask: torch.Tensor,
        info: Batch,
        decoding: Decoding,
        arguments: Mapping[str, Any],
        stops: list[StoppingCriteria],
        cache: Cache | None = None,
    ) -> torch.Tensor:
        """Sequences of shape (prompts, tokens), prompts included for a decoder."""
        given = {"input_ids": ids, "attention_mask": mask} if self.encoder is None else encoding.given(ids, mask)
        with_cache = {} if cache is None else {"past_key_values": cache}
        written: torch.Tensor = self.network.generate(
            **given,
            eos_token_id=list(self.vocabulary.ends),
            pad_token_id=self.vocabulary.pad,
            logits_processor=decoding.processors(info),
            stopping_criteria=stops,
            **arguments,
            **with_cache,
        )
        return written

    def _read_group(self, group: Sequence[Prompt], start: Sequence[int]) -> tuple[torch.Tensor, torch.Tensor, Cache]:
        """Ids and mask of a group, and the keys and values of all but the last token of each row, with which
        ``generate`` begins."""
        if start and self._read is None:
            self._read = Cache(config=self.network.config)
            ids = torch.tensor([start], device=self.network.device)
            self._forward(ids, torch.ones_like(ids), self._read)
        cache = caches.spread(self._read if start else None, len(group), self.network.config)
        ids, mask = self._tensors(group, len(start))
        if ids.shape[1] - 1 > len(start):
            self._forward(ids[:, len(start) : -1], mask[:, :-1], cache)
        return ids, mask, cache

    def _forward(self, ids: torch.Tensor, mask: torch.Tensor, cache: Cache) -> None:
        places = (mask.cumsum(1) - 1).clamp(min=0)[:, -ids.shape[1] :]
        self.network(
            input_ids=ids, attention_mask=mask, position_ids=places, past_key_values=cache, use_cache=True, **self.kept
        )

    def _tensors(self, batch: Sequence[Prompt], shared: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
        """Ids and attention mask, each of shape (prompts, longest prompt). A shared start stays at the left edge, and
        what fills a row up comes after it."""
        width = max(len(p.token_ids) for p in batch)
        ids = torch.full((len(batch), width), self.vocabulary.pad, dtype=torch.long)
        mask = torch.zeros_like(ids)
        for row, prompt in enumerate(batch):
            tokens = torch.tensor(prompt.token_ids)
            rest = len(tokens) - shared
            ids[row, :shared] = tokens[:shared]
            place = slice(width - rest, width) if self.left else slice(shared, shared + rest)
            ids[row, place] = tokens[shared:]
            mask[row, :shared] = mask[row, place] = 1
        return ids.to(self.network.device), mask.to(self.network.device)

    def _widened(self, rows: torch.Tensor, width: int) -> torch.Tensor:
        """Rows filled up on the left; 0 is masked, whatever token it is."""
        return torch.nn.functional.pad(rows, (width - rows.shape[1], 0))


class Half(StoppingCriteria):  # type: ignore[misc]  # transformers has no types here
    """Stops all rows once half of them have ended."""

    def __init__(self, ends: Sequence[int], width: int) -> None:
        self.ends = ends
        self.width = width
        self.ended = torch.zeros(0, dtype=torch.bool)

    def __call__(self, input_ids: torch.Tensor, scores: Any, **kwargs: Any) -> torch.Tensor:
        last = torch.isin(input_ids[:, -1], torch.tensor(self.ends, device=input_ids.device))
        self.ended = last if len(self.ended) == 0 else self.ended | last
        count = int(self.ended.sum())
        stop = len(last) >= SMALLEST and 2 * count >= len(last)
        return torch.full_like(last, stop)


def shared_start(prompts: Sequence[Prompt]) -> tuple[int, ...]:
    """The tokens that all prompts begin with; at least one token of each is left over."""
    if len(prompts) < 2:
        return ()
    shortest = min(len(p.token_ids) for p in prompts)
    # The first and the last in order differ as early as any two do.
    first, last = min(p.token_ids for p in prompts), max(p.token_ids for p in prompts)
    differ = (i for i in range(shortest) if first[i] != last[i])
    return first[: min(next(differ, shortest), shortest - 1)]


def _takes(network: Any) -> Mapping[str, inspect.Parameter]:
    base = network.get_base_model() if hasattr(network, "get_base_model") else network
    return inspect.signature(base.forward).parameters


def _distinct(batch: Sequence[Prompt]) -> tuple[list[Prompt], list[int]]:
    """The prompts that differ, and for each of the batch which of these it is: one that is asked for several outputs
    is read once."""
    places: dict[tuple[int, ...], int] = {}
    once: list[Prompt] = []
    for prompt in batch:
        if prompt.token_ids not in places:
            places[prompt.token_ids] = len(once)
            once.append(prompt)
    return once, [places[prompt.token_ids] for prompt in batch]


def _groups(batch: Sequence[Prompt], shared: int, most: int) -> list[list[Prompt]]:
    """Neighbours that are read at once: at most ``most`` tokens beyond the shared start, filling counted."""
    groups: list[list[Prompt]] = []
    longest = 0
    for prompt in batch:
        rest = len(prompt.token_ids) - shared
        if groups and (len(groups[-1]) + 1) * max(longest, rest) <= most:
            groups[-1].append(prompt)
            longest = max(longest, rest)
        else:
            groups.append([prompt])
            longest = rest
    return groups
