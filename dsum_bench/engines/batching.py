"""Which prompts go together. Pure functions."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dsum_bench.spec import Prompt

SMALL, SURE = 8, 64
"""Rows of a batch that is tried first, and of one that needs no trying where that one is soon done."""
READ, MOST_READ = 2048, 8192
"""Tokens of prompts that are read at once: on a CPU, and at most on a GPU. There a pass costs as much as thousands of
tokens (kernels are started one by one, and 4-bit weights unpacked), but longer groups have more filling too."""
SOON = 30.0
"""Seconds. What is longer is looked at more closely: a batch that is interrupted is lost."""


def plan_batches(prompts: Sequence[Prompt], budget: int, beams: int, new_tokens: int) -> list[list[Prompt]]:
    """Cut prompts into batches, the longest first, so that running out of memory shows at once.

    Args:
        budget: largest number of tokens in a batch, padding, new tokens and beams counted.
        beams: sequences a prompt is decoded with.
        new_tokens: most tokens a prompt can be answered with.

    Returns:
        Batches that hold every prompt once. A prompt beyond the budget is a batch of its own.
    """
    batches: list[list[Prompt]] = []
    width = 0
    for prompt in sorted(prompts, key=lambda p: -len(p.token_ids)):
        # Longest first: the first of a batch sets its width.
        if batches and (len(batches[-1]) + 1) * (width + new_tokens) * beams <= budget:
            batches[-1].append(prompt)
        else:
            batches.append([prompt])
            width = len(prompt.token_ids)
    return batches


def token_budget(kv_bytes: int, logit_bytes: int, free_bytes: int) -> int:
    """Tokens a batch may hold: what four fifths of the memory hold, at least 2,048 and at most 262,144.

    Args:
        kv_bytes: memory of the KV cache for one token of one sequence.
        logit_bytes: memory of one position's scores over the vocabulary, in float32. One row in 256 tokens is taken
            to keep scores (four copies: processors and beams).
        free_bytes: memory that is free after loading.
    """
    per_token = kv_bytes + 4 * logit_bytes // 256
    return max(2048, min(262_144, int(0.8 * free_bytes / max(1, per_token))))


def tokens_read_at_once(token_bytes: int, free_bytes: int) -> int:
    """Tokens of a group of prompts on a GPU: what half of the memory holds that ``token_budget`` leaves.

    Args:
        token_bytes: memory of a token while it is read, beyond its keys and values.
        free_bytes: memory that is free after loading.
    """
    return max(READ, min(MOST_READ, free_bytes // 10 // max(1, token_bytes)))


def best_rows(step: Callable[[int], float], most: int, new: int, patience: float = 3.0) -> int:
    """Rows of a batch beyond which a row gets no cheaper.

    Where a small batch is soon done, ``SURE`` rows are taken untried: they are hardly dearer a row anywhere, and
    trying them takes as much time as it saves.

    Args:
        step: seconds that one new token takes for a batch of so many rows.
        most: rows that there are at most.
        new: tokens that a row may get.
        patience: seconds to spend on finding out; what seemed best by then is taken.
    """
    if most <= SMALL:
        return SMALL
    rows, best, spent = SMALL, SMALL, 0.0
    cheapest = float("inf")
    while rows <= most and spent < patience:
        seconds = step(rows)
        spent += 2 * seconds  # a step is timed twice
        if seconds / rows > 0.9 * cheapest:
            break
        best, cheapest = rows, seconds / rows
        if rows == SMALL and seconds * new < SOON:
            rows = best = min(most, SURE)
            if most < 2 * SURE:
                break
        else:
            rows *= 2
    return best
