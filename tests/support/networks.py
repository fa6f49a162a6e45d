"""Small random networks with integer prompts, and what transformers alone writes."""

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


def encoder_decoder(family: str, **changes: Any) -> Any:
    """A small random encoder-decoder whose end token is likely. Of the wide weights that a decoder has, it would only
    repeat a token."""
    import torch
    import transformers

    sizes: dict[str, Any] = {"d_model": 32, "pad_token_id": 0, "eos_token_id": END, "decoder_start_token_id": 2}
    if family.endswith("T5"):
        sizes |= {"d_kv": 8, "d_ff": 64, "num_layers": 2, "num_heads": 4}
        sizes |= {"initializer_factor": 4.0, "tie_word_embeddings": False}
    else:
        both = {"layers": 2, "attention_heads": 4, "ffn_dim": 64}
        sizes |= {f"{side}_{key}": value for side in ("encoder", "decoder") for key, value in both.items()}
        sizes |= {"decoder_layers": 3, "init_std": 0.5, "forced_eos_token_id": None}
    config = getattr(transformers, f"{family}Config")(vocab_size=VOCABULARY, **sizes | changes)
    torch.manual_seed(3)
    model = transformers.AutoModelForSeq2SeqLM.from_config(config, dtype=torch.float32).eval()
    start = {"bos_token_id": 1, "decoder_start_token_id": 2}
    model.generation_config = transformers.GenerationConfig(**start)
    return model


def likelier_end(model: Any, factor: float) -> None:
    """Let outputs end at different steps, whatever tokens they are read from."""
    model.lm_head.weight = type(model.lm_head.weight)(model.lm_head.weight.detach().clone())
    model.lm_head.weight.data[END] *= factor


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
        out = model.generate(input_ids=ids, max_new_tokens=NEW, **ends, **arguments)[0]
        found[prompt.sample_id] = cut(out[1 if model.config.is_encoder_decoder else ids.shape[1] :].tolist())
    return found


def cut(row: list[int]) -> list[int]:
    return row[: row.index(END)] if END in row else row
