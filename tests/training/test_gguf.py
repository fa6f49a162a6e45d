"""GGUF files: read back by transformers, they are the same network and the same tokenizer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from bart_tokenizer import texts
from making import small
from tuning import place, train

from dsum_bench.errors import ModelError
from dsum_bench.training.gguf_file import SPLITS

PATTERNS = {name: pattern for pattern, name in SPLITS.items()}
LLAMA3 = {"rope_type": "llama3", "rope_theta": 10_000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
          "original_max_position_embeddings": 64}  # fmt: skip


def tokenizer(pre: str) -> Any:
    """Byte-level BPE of Korean dialogues, which cuts text as a family's tokenizer does."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    inner = Tokenizer(models.BPE())
    cut = [pre_tokenizers.Split(Regex(PATTERNS[pre]), "isolated")] if pre in PATTERNS else []
    byte_level = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=not cut)
    inner.pre_tokenizer = pre_tokenizers.Sequence([*cut, byte_level]) if cut else byte_level
    inner.decoder = decoders.ByteLevel()
    special = ["<s>", "</s>", "<|im_start|>", "<|im_end|>"]
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=600, special_tokens=special, initial_alphabet=alphabet, show_progress=False
    )
    inner.train_from_iterator(texts(), trainer)
    made = PreTrainedTokenizerFast(tokenizer_object=inner, bos_token="<s>", eos_token="<|im_end|>")
    made.chat_template = small("{{ messages[0].content }}<|im_end|>").chat_template
    return made


def checkpoint(folder: Path, family: str, pre: str, **changes: Any) -> Any:
    import torch
    import transformers

    tok = tokenizer(pre)
    sizes: dict[str, Any] = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2,
                             "num_attention_heads": 4, "num_key_value_heads": 2, "max_position_embeddings": 512,
                             "initializer_range": 0.3}  # fmt: skip
    torch.manual_seed(3)
    config = getattr(transformers, f"{family}Config")(vocab_size=len(tok), **sizes | changes)
    network = getattr(transformers, f"{family}ForCausalLM")(config)
    network.save_pretrained(folder)
    tok.save_pretrained(folder)
    (folder / "generation_config.json").write_text(f'{{"eos_token_id": [{tok.eos_token_id}]}}', encoding="utf-8")
    return network.eval(), tok


CASES = [
    ("Llama", "llama-bpe", {}),
    ("Llama", "gpt-2", {"tie_word_embeddings": True}),
    ("Qwen2", "qwen2", {}),
    ("Qwen3", "qwen2", {"head_dim": 128, "tie_word_embeddings": True}),  # transformers reads no other width of Qwen3
]


@pytest.mark.parametrize(("family", "pre", "changes"), CASES)
@pytest.mark.parametrize(("kind", "far"), [("f32", 1e-5), ("f16", 2e-3), ("bf16", 2e-2), ("q8_0", 5e-2)])
def test_a_gguf_file_is_the_same_network_and_tokenizer(
    family: str, pre: str, changes: dict[str, Any], kind: Any, far: float, tmp_path: Path
) -> None:
    import torch
    from gguf import GGUFReader
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from dsum_bench.training.gguf_file import write

    network, tok = checkpoint(tmp_path / "hf", family, pre, **changes)
    (tmp_path / "out").mkdir()
    write(tmp_path / "hf", tmp_path / "out/m.gguf", kind)
    read = AutoModelForCausalLM.from_pretrained(tmp_path / "out", gguf_file="m.gguf", dtype=torch.float32).eval()
    ids = torch.arange(5, 45)[None]
    wanted, found = network(ids).logits, read(ids).logits
    assert float((wanted - found).abs().mean()) < far * float(wanted.std()), kind
    again = AutoTokenizer.from_pretrained(tmp_path / "out", gguf_file="m.gguf")
    for text in [*list(texts())[:20], "#Person1#: 3,200원 that's <|im_end|>"]:
        assert again(text, add_special_tokens=False)["input_ids"] == tok(text, add_special_tokens=False)["input_ids"]
    assert again.chat_template == tok.chat_template and again.eos_token_id == tok.eos_token_id
    fields = GGUFReader(tmp_path / "out/m.gguf").fields
    assert bytes(fields["tokenizer.ggml.pre"].parts[-1]).decode() == pre


def test_positions_of_llama_3_are_divided_as_transformers_divides_them(tmp_path: Path) -> None:
    from gguf import GGUFReader
    from transformers import LlamaConfig
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    from dsum_bench.training.gguf_file import write

    network, _ = checkpoint(tmp_path / "hf", "Llama", "llama-bpe", rope_parameters=LLAMA3)
    write(tmp_path / "hf", tmp_path / "m.gguf", "f32")
    (factors,) = [t.data for t in GGUFReader(tmp_path / "m.gguf").tensors if t.name == "rope_freqs.weight"]
    scaled, _ = ROPE_INIT_FUNCTIONS["llama3"](network.config, "cpu")
    plain = 1 / 10_000.0 ** (__import__("torch").arange(0, 16, 2) / 16)
    assert isinstance(network.config, LlamaConfig) and len(factors) == 8
    assert factors.tolist() == pytest.approx((plain / scaled).tolist(), rel=1e-5)
    assert factors[0] == 1.0 and factors[-1] == 8.0


def test_what_has_no_known_form_in_gguf_is_refused(tmp_path: Path) -> None:
    from dsum_bench.training.gguf_file import write

    checkpoint(tmp_path / "a", "Phi3", "gpt-2", pad_token_id=0)
    with pytest.raises(ModelError, match="GGUF is written for llama, qwen2, qwen3, and this is phi3"):
        write(tmp_path / "a", tmp_path / "m.gguf", "f16")
    checkpoint(tmp_path / "b", "Llama", "gpt-2")
    text = (tmp_path / "b/tokenizer.json").read_text("utf-8")
    (tmp_path / "b/tokenizer.json").write_text(text.replace('"use_regex": true', '"use_regex": false'), "utf-8")
    with pytest.raises(ModelError, match="cuts text in a way that is not known"):
        write(tmp_path / "b", tmp_path / "m.gguf", "f16")


def test_an_adapter_leaves_as_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    from dsum_bench import Bench

    monkeypatch.chdir(place(tmp_path, [(f"#Person1#: 네 {i}.", f"{i}번입니다.") for i in range(12)]))
    train(tmp_path, "epochs=2")
    out = Bench(progress=None).export("mine@x", tmp_path / "out", gguf="f32", dataset="rows")
    assert sorted(f.name for f in out.iterdir()) == ["README.md", "finetune.toml", "mine-x.f32.gguf"]
    base = AutoModelForCausalLM.from_pretrained(tmp_path / "mine", dtype=torch.float32)
    wanted = PeftModel.from_pretrained(base, tmp_path / "results/models/mine@x").eval()
    found = AutoModelForCausalLM.from_pretrained(out, gguf_file="mine-x.f32.gguf", dtype=torch.float32).eval()
    ids = torch.arange(5, 45)[None]
    torch.testing.assert_close(found(ids).logits, wanted(ids).logits, atol=2e-3, rtol=1e-3)
