"""Small random decoders with integer prompts, and what transformers alone writes."""

from __future__ import annotations

from typing import Any

from dsum_bench.spec import Prompt

NEW = 10
VOCABULARY = 60
LENGTHS = (30, 29, 45, 22, 38, 21, 44, 27)
END = 7


def network(family: str, **changes: Any) -> Any:
    """A small random decoder whose end token is likely, so that rows end at different steps."""
    import torch
    import transformers

    config = getattr(transformers, f"{family}Config")(
        vocab_size=VOCABULARY,
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=8,
        initializer_range=0.6,
        **changes,
    )
    torch.manual_seed(3)
    return transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()


def prompts(shared: int) -> list[Prompt]:
    import random

    rng = random.Random(1)
    start = [rng.randrange(VOCABULARY) for _ in range(shared)]
    made = [(*start, i, *(rng.randrange(VOCABULARY) for _ in range(n - shared - 1))) for i, n in enumerate(LENGTHS)]
    rows = [Prompt(f"s{i}", "", ids) for i, ids in enumerate(made)]
    return sorted(rows, key=lambda p: -len(p.token_ids))


def alone(model: Any, rows: list[Prompt], **arguments: Any) -> dict[str, list[int]]:
    import torch

    found = {}
    for prompt in rows:
        ids = torch.tensor([prompt.token_ids])
        ends = {"eos_token_id": END, "pad_token_id": 0, "attention_mask": torch.ones_like(ids)}
        out = model.generate(ids, max_new_tokens=NEW, **ends, **arguments)[0]
        found[prompt.sample_id] = cut(out[ids.shape[1] :].tolist())
    return found


def cut(row: list[int]) -> list[int]:
    return row[: row.index(END)] if END in row else row
