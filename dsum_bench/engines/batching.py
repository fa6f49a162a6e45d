"""Which prompts go together. Pure functions."""

from __future__ import annotations

from collections.abc import Sequence

from dsum_bench.spec import Prompt


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


def token_budget(kv_bytes: int, logit_bytes: int, free_bytes: int | None) -> int:
    """Tokens a batch may hold.

    Args:
        kv_bytes: memory of the KV cache for one token of one sequence.
        logit_bytes: memory of one position's scores over the vocabulary, in float32.
        free_bytes: free memory of a GPU after loading; None on a CPU.

    Returns:
        On a CPU 8,192: SmolLM2-135M on 2 cores was fastest there with about 8 dialogues of 300 tokens in
        4 beams, and larger batches only took more memory. On a GPU what four fifths of the free memory hold,
        at most 262,144; one row in 256 tokens is taken to keep scores (four copies: processors and beams).
    """
    if free_bytes is None:
        return 8192
    per_token = kv_bytes + 4 * logit_bytes // 256
    return max(2048, min(262_144, int(0.8 * free_bytes / max(1, per_token))))
