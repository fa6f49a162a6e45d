"""Whole weights as one GGUF file, which llama.cpp, Ollama and LM Studio read. Imports torch: import it inside methods.

Only architectures and tokenizers are written whose form in GGUF is known for certain; everything else is refused.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from math import pi
from pathlib import Path
from typing import Any, Literal, get_args

from dsum_bench.errors import ModelError

GgufType = Literal["f32", "f16", "bf16", "q8_0"]
TYPES: tuple[GgufType, ...] = get_args(GgufType)
ARCHITECTURES = ("llama", "qwen2", "qwen3")
QWEN2 = (
    r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
)
SPLITS = {QWEN2.replace(r"|\p{N}|", r"|\p{N}{1,3}|"): "llama-bpe", QWEN2: "qwen2"}
"""The regular expression that a tokenizer cuts text with -> its name in llama.cpp."""


def write(folder: Path, file: Path, kind: GgufType) -> None:
    """Write a checkpoint's configuration, tokenizer and weights to a new GGUF file.

    folder: as transformers writes it, in safetensors. kind: of the matrices; everything else is float32.

    Raises:
        ModelError: its architecture or tokenizer has no form in GGUF that is known here.
    """
    import gguf
    from transformers import AutoConfig, AutoTokenizer

    config = AutoConfig.from_pretrained(folder, local_files_only=True)
    if config.model_type not in ARCHITECTURES:
        raise ModelError(f"GGUF is written for {', '.join(ARCHITECTURES)}, and this is {config.model_type}; "
                         "llama.cpp's convert_hf_to_gguf.py knows more")  # fmt: skip
    tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    arch = gguf.MODEL_ARCH[config.model_type.upper()]
    writer = gguf.GGUFWriter(file, gguf.MODEL_ARCH_NAMES[arch])
    try:
        _add_config(writer, config, kind)
        _add_tokenizer(writer, folder, tokenizer, config)
        names = gguf.get_tensor_name_map(arch, config.num_hidden_layers)
        for name, values in _tensors(folder, config):
            known = names.get_name(name, try_suffixes=(".weight", ".bias"))
            if known is None:
                raise ModelError(f"its tensor {name} has no name in GGUF")
            made, stored = _converted(values, kind)
            writer.add_tensor(known, made, raw_dtype=stored)
        if (factors := _rope_factors(config)) is not None:
            writer.add_tensor("rope_freqs.weight", factors)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
    finally:
        writer.close()


def _add_config(writer: Any, config: Any, kind: GgufType) -> None:
    import gguf

    rope = config.rope_parameters
    writer.add_type(gguf.GGUFType.MODEL)
    writer.add_file_type(getattr(gguf.LlamaFileType, {"f32": "ALL_F32"}.get(kind, f"MOSTLY_{kind.upper()}")))
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(rope["rope_theta"])
    writer.add_vocab_size(config.vocab_size)
    width = _head_width(config)
    writer.add_key_length(width)
    writer.add_value_length(width)
    writer.add_rope_dimension_count(width)


def _head_width(config: Any) -> int:
    return int(getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads)


def _add_tokenizer(writer: Any, folder: Path, tokenizer: Any, config: Any) -> None:
    import gguf

    table = json.loads((folder / "tokenizer.json").read_text(encoding="utf-8"))
    if table["model"]["type"] != "BPE":
        raise ModelError(f"GGUF is written for byte-level BPE, and its tokenizer is {table['model']['type']}")
    pre = _pre(table["pre_tokenizer"])
    words = {i: token for token, i in tokenizer.get_vocab().items()}
    added = tokenizer.added_tokens_decoder
    tokens, kinds = [], []
    for i in range(config.vocab_size):  # one for each row of the embeddings, whatever the tokenizer knows beyond them
        tokens.append(words.get(i, f"[PAD{i}]"))
        special = i in added and added[i].special
        kinds.append(gguf.TokenType.UNUSED if i not in words else gguf.TokenType.CONTROL if special
                     else gguf.TokenType.USER_DEFINED if i in added else gguf.TokenType.NORMAL)  # fmt: skip
    merges = [m if isinstance(m, str) else " ".join(m) for m in table["model"]["merges"]]
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(tokens)
    writer.add_token_types(kinds)
    writer.add_token_merges(merges)
    ends = _ends(folder)
    if ends:
        writer.add_eos_token_id(ends[0])
    if tokenizer.bos_token_id is not None:
        writer.add_bos_token_id(tokenizer.bos_token_id)
    if tokenizer.pad_token_id is not None and tokenizer.pad_token_id < config.vocab_size:
        writer.add_pad_token_id(tokenizer.pad_token_id)
    first = tokenizer("x")["input_ids"][:1]
    writer.add_add_bos_token(tokenizer.bos_token_id is not None and first == [tokenizer.bos_token_id])
    if tokenizer.chat_template:
        writer.add_chat_template(tokenizer.chat_template)


def _ends(folder: Path) -> list[int]:
    """The tokens that end an output, as the generation settings beside the weights name them."""
    file = folder / "generation_config.json"
    found = json.loads(file.read_text(encoding="utf-8")).get("eos_token_id") if file.is_file() else None
    return found if isinstance(found, list) else [] if found is None else [found]


def _pre(table: dict[str, Any] | None) -> str:
    """What llama.cpp calls the way in which a tokenizer cuts text before it merges."""
    steps = (table or {}).get("pretokenizers", [table or {}])
    patterns = [s["pattern"].get("Regex", "") for s in steps if s.get("type") == "Split"]
    byte_level = [s for s in steps if s.get("type") == "ByteLevel"]
    digits = any(s.get("type") == "Digits" and s.get("individual_digits") for s in steps)
    if byte_level and not patterns and byte_level[0].get("use_regex", True):
        return "smollm" if digits else "gpt-2"
    if byte_level and len(patterns) == 1 and patterns[0] in SPLITS:
        return SPLITS[patterns[0]]
    raise ModelError("its tokenizer cuts text in a way that is not known in GGUF here; llama.cpp's "
                     "convert_hf_to_gguf.py may know it")  # fmt: skip


def _tensors(folder: Path, config: Any) -> Iterator[tuple[str, Any]]:
    """Names and float32 values of the weights; Llama's queries and keys in the order that llama.cpp rotates them in."""
    from safetensors import safe_open

    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as opened:
            for name in opened.keys():  # noqa: SIM118 - it is no mapping
                if name == "lm_head.weight" and config.tie_word_embeddings:
                    continue
                values = opened.get_tensor(name).float()
                if config.model_type == "llama" and name.rpartition(".self_attn.")[2] in (
                    "q_proj.weight",
                    "k_proj.weight",
                ):
                    heads = config.num_attention_heads if "q_proj" in name else config.num_key_value_heads
                    halves = values.reshape(heads, 2, values.shape[0] // heads // 2, *values.shape[1:])
                    values = halves.swapaxes(1, 2).reshape(values.shape)
                yield name, values.numpy()


def _converted(values: Any, kind: GgufType) -> tuple[Any, Any]:
    """Values as they are stored, and their type in GGUF. Vectors stay float32, as llama.cpp wants them."""
    import gguf
    import numpy as np

    values = np.ascontiguousarray(values)
    stored = gguf.GGMLQuantizationType[kind.upper()]
    if values.ndim == 1 or kind == "f32":
        return values, gguf.GGMLQuantizationType.F32
    if values.shape[-1] % gguf.GGML_QUANT_SIZES[stored][0]:
        stored = gguf.GGMLQuantizationType.F16
    return gguf.quants.quantize(values, stored), stored


def _rope_factors(config: Any) -> Any:
    """By what Llama 3.1 and its kin divide the frequencies of positions; None where they are as they are.

    Source: transformers' ``_compute_llama3_parameters``, and llama.cpp's converter for where the factors go.
    """
    import numpy as np

    rope = config.rope_parameters
    kind = rope.get("rope_type", "default")
    if kind == "default":
        return None
    if kind != "llama3":
        raise ModelError(f"its positions are scaled by '{kind}', which is not written here")
    low, high, factor = (float(rope[key]) for key in ("low_freq_factor", "high_freq_factor", "factor"))
    before = rope["original_max_position_embeddings"]
    width = _head_width(config)
    waves = 2 * pi * rope["rope_theta"] ** (np.arange(0, width, 2) / width)
    smooth = (before / waves - low) / (high - low)
    between = 1 / ((1 - smooth) / factor + smooth)
    found = np.where(waves < before / high, 1.0, np.where(waves > before / low, factor, between))
    return found.astype(np.float32)
