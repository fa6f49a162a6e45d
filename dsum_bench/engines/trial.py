"""Whether continuous batching writes what plain batches write, found on the first rows of a run.

The two compute the same sums in another order, and in 16 bits two tokens of nearly the same score may then change
places; from there on the outputs differ and neither is wrong. Any other difference is a fault.

Imports torch: import this module inside methods only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from time import perf_counter
from typing import Any

import torch

from dsum_bench.engines import continuous
from dsum_bench.engines.base import Tell
from dsum_bench.engines.generation import OutputTokens
from dsum_bench.errors import first_line
from dsum_bench.spec import Prompt

ROWS = 8
"""Prompts that are answered both ways."""
LEAST = 32
"""Prompts of a run from which on that is worth its time; fewer make one plain batch."""
CLOSE = {torch.float32: 1e-4, torch.bfloat16: 2**-5, torch.float16: 2**-8}
"""Largest difference of two scores, relative to the largest score, that rounding may make: about eight units in the
last place of 16 bits, which the layers add up."""
LEFT_OFF = "written by plain batches: continuous batching wrote other texts for the first samples"


@dataclass(frozen=True, slots=True)
class Written:
    """New tokens of a prompt. note: what must be known of them."""

    prompt: Prompt
    tokens: Sequence[int]
    seconds: float
    note: str = ""


def outputs(
    network: Any,
    prompts: Sequence[Prompt],
    words: OutputTokens,
    new: int,
    plain: Callable[[list[Prompt]], list[list[int]] | None],
    tell: Tell,
) -> Iterator[list[Written]]:
    """Outputs by continuous batching, once the first of them are those of plain batches.

    Prompts that are missing are left for batches to write: all where there are few or where it fails at once; those
    after the first where it wrote other texts, which the first ones then carry a note of.

    Args:
        plain: new tokens of a batch; None where memory did not suffice.
    """
    first, rest = parted(prompts)
    if not first:
        return
    try:
        found = {p.sample_id: row for part in continuous.write(network, words, first, new, tell) for p, row in part}
        start = perf_counter()
        made = plain(first)
        if made is None:
            return
        seconds = (perf_counter() - start) / len(first)
        bad = wrong(network, first, found, {p.sample_id: row for p, row in zip(first, made, strict=True)}, words.ends)
        note = LEFT_OFF if bad else ""
        yield [Written(p, row, seconds, note) for p, row in zip(first, made, strict=True)]
        if bad:
            tell(f"continuous batching wrote other texts for {len(bad)} of {len(first)}; continuing with plain batches")
            return
        start = perf_counter()
        for part in continuous.write(network, words, rest, new, tell):
            seconds = (perf_counter() - start) / max(1, len(part))
            start = perf_counter()
            yield [Written(prompt, row, seconds) for prompt, row in part]
    except Exception as error:  # whatever it is, batches can do without it
        tell(f"continuous batching failed ({first_line(error)}); continuing with plain batches")


def parted(prompts: Sequence[Prompt]) -> tuple[list[Prompt], list[Prompt]]:
    """Prompts to try, of all lengths, and the others; none to try where there are few."""
    if len(prompts) < LEAST:
        return [], list(prompts)
    ordered = sorted(prompts, key=lambda p: len(p.token_ids))
    tried = ordered[len(ordered) // (2 * ROWS) :: len(ordered) // ROWS][:ROWS]
    chosen = {p.sample_id for p in tried}
    return tried, [p for p in prompts if p.sample_id not in chosen]


def wrong(
    network: Any,
    prompts: Sequence[Prompt],
    found: Mapping[str, Sequence[int]],
    plain: Mapping[str, Sequence[int]],
    ends: Sequence[int],
) -> list[str]:
    """Ids of samples whose tokens differ by more than a tie, or are missing.

    Args:
        found, plain: new tokens by id; what follows an end token does not count.
    """
    return [
        p.sample_id
        for p in prompts
        if p.sample_id not in found
        or not same(network, p, cut(found[p.sample_id], ends), cut(plain[p.sample_id], ends))
    ]


def same(network: Any, prompt: Prompt, found: Sequence[int], plain: Sequence[int]) -> bool:
    """Whether two outputs, each to its end token, are equal up to the first token and tied there."""
    if found == plain:
        return True
    at = differs_at(found, plain)
    if at >= min(len(found), len(plain)):
        return False  # one of them breaks off
    scores = last_scores(network, [*prompt.token_ids, *plain[:at]])
    worse = min(scores[found[at]], scores[plain[at]])
    return bool(scores.max() - worse <= CLOSE.get(network.dtype, 2**-5) * scores.abs().max())


def differs_at(found: Sequence[int], plain: Sequence[int]) -> int:
    """Place of the first token that differs; the length of the shorter one where there is none."""
    pairs = zip(found, plain, strict=False)
    return next((n for n, (a, b) in enumerate(pairs) if a != b), min(len(found), len(plain)))


@torch.inference_mode()
def last_scores(network: Any, ids: Sequence[int]) -> torch.Tensor:
    """Scores of the token after these, shape (vocabulary,), in float32."""
    tensor = torch.tensor([list(ids)], device=network.device)
    made = network(input_ids=tensor, attention_mask=torch.ones_like(tensor), use_cache=False)
    scores: torch.Tensor = made.logits[0, -1].float()
    return scores


def cut(row: Sequence[int], ends: Sequence[int]) -> list[int]:
    """The tokens up to the end token, which stays: an output that ends differs from one that goes on."""
    stop = next((n for n, token in enumerate(row) if token in ends), len(row))
    return list(row[: stop + 1])
