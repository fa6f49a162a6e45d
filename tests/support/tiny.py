"""Small random checkpoints of the real architectures, written to disk as a user's would be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "max_position_embeddings": 2048,
    "initializer_range": 0.5,  # wide, so that the best token is far from the second
}


def save(folder: Path, network: Any, tokenizer: Any) -> Path:
    """Write weights, configuration and tokenizer."""
    network.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def decoder(folder: Path, family: str, tokenizer: Any) -> Path:
    """A decoder-only checkpoint of a family: llama, qwen2, qwen3 or gemma3."""
    import torch
    import transformers

    names = {"llama": "Llama", "qwen2": "Qwen2", "qwen3": "Qwen3", "gemma3": "Gemma3Text"}
    sizes = {k: v for k, v in SIZES.items() if not (family == "qwen2" and k == "head_dim")}
    config = getattr(transformers, f"{names[family]}Config")(
        **sizes, vocab_size=len(tokenizer), eos_token_id=tokenizer.eos_token_id, bos_token_id=tokenizer.bos_token_id
    )
    torch.manual_seed(0)
    network = getattr(transformers, names[family].replace("Text", "") + "ForCausalLM")(config)
    return save(folder, network, tokenizer)


def bart(folder: Path, tokenizer: Any, positions: int = 512) -> Path:
    """An encoder-decoder of koBART's architecture."""
    import torch
    from transformers import BartConfig, BartForConditionalGeneration

    config = BartConfig(
        vocab_size=len(tokenizer),
        d_model=32,
        encoder_layers=2,
        decoder_layers=2,
        encoder_attention_heads=4,
        decoder_attention_heads=4,
        encoder_ffn_dim=64,
        decoder_ffn_dim=64,
        max_position_embeddings=positions,
        init_std=0.5,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=tokenizer.eos_token_id,
        forced_eos_token_id=None,
    )
    torch.manual_seed(0)
    return save(folder, BartForConditionalGeneration(config), tokenizer)


def t5(folder: Path, tokenizer: Any) -> Path:
    """An encoder-decoder of T5's architecture."""
    import torch
    from transformers import T5Config, T5ForConditionalGeneration

    config = T5Config(
        vocab_size=len(tokenizer),
        d_model=32,
        d_kv=8,
        d_ff=64,
        num_layers=2,
        num_heads=4,
        initializer_factor=5.0,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
        decoder_start_token_id=tokenizer.pad_token_id,
        tie_word_embeddings=False,
    )
    torch.manual_seed(0)
    return save(folder, T5ForConditionalGeneration(config), tokenizer)
