"""The plugin as dsum-bench finds it, with a small random EXAONE 4 and no network."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest
import torch
from dsum_bench_exaone import MODELS, ExaoneAdapter
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import AutoModelForCausalLM, AutoTokenizer, Exaone4Config, PreTrainedTokenizerFast

from dsum_bench.adapters.base import AdapterContext
from dsum_bench.adapters.build import build
from dsum_bench.plugins import Plugins
from dsum_bench.spec import Generation, ModelSpec, PluginSettings, PromptSpec, Sample

CONTROL = ["[PAD]", "[BOS]", "[|system|]", "[|user|]", "[|assistant|]", "[|endofturn|]"]
DIALOGUE = "#Person1#: 내일 등산 갈래?\n#Person2#: 비가 온대. 다음 주에 가자.\n#Person1#: 그래, 토요일에 보자."
PROMPT = PromptSpec("p", "다음 대화를 요약하세요.\n\n{dialogue}", "당신은 요약 전문가입니다.")

# The two generations, as their model cards describe them: 4 puts line breaks around every text and answers after an
# empty thought, 3.5 does neither and leaves the user's turn open.
GENERATION_4 = (
    "{% for m in messages %}[|{{ m.role }}|]\n{{ m.content }}[|endofturn|]\n{% endfor %}"
    "{% if add_generation_prompt %}[|assistant|]\n"
    "{% if enable_thinking is defined and enable_thinking %}<think>\n{% else %}<think>\n\n</think>\n\n{% endif %}"
    "{% endif %}"
)
GENERATION_35 = (
    "{% for m in messages %}[|{{ m.role }}|]{{ m.content }}"
    "{{ '\n' if m.role == 'user' else '[|endofturn|]\n' }}{% endfor %}"
    "{% if add_generation_prompt %}[|assistant|]{% endif %}"
)


@pytest.fixture(scope="session")
def tokenizer() -> Any:
    """Byte-level, trained on the dialogue of these tests, with the family's control tokens."""
    inner = Tokenizer(models.BPE())
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=CONTROL, initial_alphabet=alphabet, show_progress=False
    )
    inner.train_from_iterator([DIALOGUE, PROMPT.user, PROMPT.system], trainer)
    inner.add_tokens(["<think>", "</think>"])
    made = PreTrainedTokenizerFast(
        tokenizer_object=inner, bos_token="[BOS]", eos_token="[|endofturn|]", pad_token="[PAD]"
    )
    made.chat_template = GENERATION_4
    return made


@pytest.fixture(scope="session")
def checkpoint(tokenizer: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    config = Exaone4Config(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=4,
        num_attention_heads=4,
        num_key_value_heads=2,
        max_position_embeddings=2048,
        sliding_window=16,
        sliding_window_pattern="LLLG",
        layer_types=["sliding_attention"] * 3 + ["full_attention"],
        eos_token_id=tokenizer.eos_token_id,
        initializer_range=0.5,
    )
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("exaone")
    AutoModelForCausalLM.from_config(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def plugins() -> Plugins:
    return Plugins(PluginSettings(packages=("dsum-bench-exaone",)))


def make(plugins: Plugins, tokenizer: Any, **context: Any) -> ExaoneAdapter:
    model = ModelSpec("tiny", "exaone", origin="test")
    adapter = build(plugins, AdapterContext(model, PROMPT, "template", "ko", tokenizer, **context))
    assert isinstance(adapter, ExaoneAdapter)
    return adapter


def test_the_entry_point_is_found(plugins: Plugins) -> None:
    plugins.collect_all()
    info = plugins.info["dsum-bench-exaone"]
    assert info.registers["adapters"] == ["exaone"]
    assert info.registers["models"] == ["exaone4-1.2b", "exaone35-2.4b"]
    assert plugins.problems == []


def test_parameter_counts_are_those_of_the_published_architectures() -> None:
    """Layers, heads and vocabulary from the model cards; EXAONE 3.5 has the shape of a Llama."""
    from transformers import LlamaConfig

    shape = {"num_hidden_layers": 30, "num_attention_heads": 32, "num_key_value_heads": 8, "vocab_size": 102_400}
    configs = {
        "exaone4-1.2b": Exaone4Config(
            **shape,
            hidden_size=2048,
            intermediate_size=4096,
            tie_word_embeddings=True,
            layer_types=["full_attention"] * 30,
        ),
        "exaone35-2.4b": LlamaConfig(**shape, hidden_size=2560, intermediate_size=7168, tie_word_embeddings=True),
    }
    for model in MODELS:
        with torch.device("meta"):
            network = AutoModelForCausalLM.from_config(configs[model.name])
        assert model.params == sum(p.numel() for p in network.parameters()), model.name


def test_nothing_is_allowed_that_the_user_did_not_allow() -> None:
    assert [m.allow for m in MODELS] == [(), ()]


@pytest.mark.parametrize("template", [GENERATION_4, GENERATION_35])
def test_prompts_are_the_own_template_without_thinking(plugins: Plugins, tokenizer: Any, template: str) -> None:
    tokenizer = deepcopy(tokenizer)
    tokenizer.chat_template = template
    made = make(plugins, tokenizer).prompt(Sample("s", DIALOGUE))
    messages = [
        {"role": "system", "content": PROMPT.system},
        {"role": "user", "content": PROMPT.user.replace("{dialogue}", DIALOGUE)},
    ]
    own = tokenizer.apply_chat_template(messages, add_generation_prompt=True, enable_thinking=False)
    assert list(made.token_ids) == own["input_ids"]
    ending = "[|assistant|]\n<think>\n\n</think>\n\n" if template is GENERATION_4 else "[|assistant|]"
    assert made.text.endswith(
        f"{DIALOGUE}[|endofturn|]\n{ending}" if template is GENERATION_4 else f"{DIALOGUE}\n{ending}"
    )
    assert tokenizer.bos_token_id not in made.token_ids


def test_a_long_dialogue_keeps_its_frame(plugins: Plugins, tokenizer: Any) -> None:
    long = "\n".join([DIALOGUE] * 60)
    made = make(plugins, tokenizer, max_prompt_tokens=300).prompt(Sample("s", long))
    assert len(made.token_ids) <= 300 and made.trimmed_turns > 100
    assert made.text.startswith(f"[|system|]\n{PROMPT.system}[|endofturn|]\n[|user|]\n")
    assert made.text.endswith("[|endofturn|]\n[|assistant|]\n<think>\n\n</think>\n\n")


def test_outputs_end_at_the_end_of_turn_and_lose_their_thoughts(plugins: Plugins, tokenizer: Any) -> None:
    adapter = make(plugins, tokenizer)
    assert tokenizer.convert_ids_to_tokens(list(adapter.end_ids())) == ["[|endofturn|]"]
    ids = tokenizer("<think>음</think>\n#Person1#은 갑니다.[|endofturn|]", add_special_tokens=False)["input_ids"]
    output = Generation("s", adapter.decode(ids), 1, len(ids), "stop", 0.0)
    assert adapter.parse(output) == "#Person1#은 갑니다."


@pytest.mark.parametrize("model_type", ["exaone", "exaone4", "exaone_moe"])
def test_exaone_checkpoints_are_accepted(model_type: str) -> None:
    assert ExaoneAdapter.refuses({"model_type": model_type}) is None


def test_other_checkpoints_are_refused_with_the_adapter_that_fits() -> None:
    assert ExaoneAdapter.refuses({"model_type": "llama"}) == "is of type llama; use adapter llama3"
    assert "encoder_decoder" in str(ExaoneAdapter.refuses({"model_type": "bart"}))


def test_a_small_model_writes_what_transformers_writes(
    plugins: Plugins, checkpoint: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dsum_bench.machine import detect

    engine_class = plugins.engines["huggingface"]
    spec = ModelSpec("tiny", "exaone", source=(str(checkpoint),), dtype="float32", quantization="none", origin="test")
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    plan = engine_class.plan(spec, detect(), beams=1)
    assert ExaoneAdapter.refuses(plan.config) is None
    engine = engine_class(spec, plan.placement)
    loaded = engine.prepare(lambda text: None)
    adapter = make(plugins, loaded.tokenizer)
    engine.load(lambda text: None)

    strategy = plugins.decodings["greedy"]
    decoding = strategy(strategy.Params(max_new_tokens=12))
    samples = [Sample("a", DIALOGUE), Sample("b", DIALOGUE.split("\n")[0]), Sample("c", DIALOGUE[::-1])]
    prompts = [adapter.prompt(s) for s in samples]
    batches = engine.generate(prompts, adapter, decoding, lambda text: None)
    outputs = {made.sample_id: made for batch in batches for made in batch}

    network = AutoModelForCausalLM.from_pretrained(checkpoint, dtype=torch.float32)
    opened = AutoTokenizer.from_pretrained(checkpoint)
    for prompt in prompts:
        ids = torch.tensor([prompt.token_ids])
        written = network.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=12, do_sample=False)
        text = opened.decode(written[0, ids.shape[1] :], skip_special_tokens=True)
        assert outputs[prompt.sample_id].text == text
        assert "\n" not in adapter.parse(outputs[prompt.sample_id])
