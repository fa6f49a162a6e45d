"""The shipped registry.toml: complete, loadable, true to the published architectures, and fair in its prompts."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dsum_bench.adapters.prompts import default_prompt
from dsum_bench.plugins import Plugins
from dsum_bench.registry.load import Registry, load, plugin_files
from dsum_bench.spec import ModelSpec, PluginSettings

ROOT = Path(__file__).parents[2]
SAMPLES = ROOT / "dsum_bench" / "datasets" / "samples_ko"

# A hub id: owner/name, each of letters, digits, '-', '_' and '.', as the hub itself demands (96 characters at most).
HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")
PYPI = re.compile(r"pypi:[a-z0-9-]+==\d+(\.\d+)*#[\w.-]+")

# Published configurations, from the config.json of each checkpoint.
LLAMA = "LlamaConfig"
PUBLISHED: dict[str, tuple[str, dict[str, Any]]] = {
    "llama32-3b": (
        LLAMA,
        {
            "vocab_size": 128256,
            "hidden_size": 3072,
            "intermediate_size": 8192,
            "num_hidden_layers": 28,
            "num_attention_heads": 24,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "tie_word_embeddings": True,
        },
    ),
    "llama3-8b": (
        LLAMA,
        {
            "vocab_size": 128256,
            "hidden_size": 4096,
            "intermediate_size": 14336,
            "num_hidden_layers": 32,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
        },
    ),
    "solar-10.7b": (
        LLAMA,
        {
            "vocab_size": 32000,
            "hidden_size": 4096,
            "intermediate_size": 14336,
            "num_hidden_layers": 48,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
        },
    ),
    "smollm2-135m": (
        LLAMA,
        {
            "vocab_size": 49152,
            "hidden_size": 576,
            "intermediate_size": 1536,
            "num_hidden_layers": 30,
            "num_attention_heads": 9,
            "num_key_value_heads": 3,
            "tie_word_embeddings": True,
        },
    ),
    "qwen25-7b": (
        "Qwen2Config",
        {
            "vocab_size": 152064,
            "hidden_size": 3584,
            "intermediate_size": 18944,
            "num_hidden_layers": 28,
            "num_attention_heads": 28,
            "num_key_value_heads": 4,
            "tie_word_embeddings": False,
        },
    ),
    "qwen3-4b": (
        "Qwen3Config",
        {
            "vocab_size": 151936,
            "hidden_size": 2560,
            "intermediate_size": 9728,
            "num_hidden_layers": 36,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "tie_word_embeddings": True,
        },
    ),
    "qwen3-0.6b": (
        "Qwen3Config",
        {
            "vocab_size": 151936,
            "hidden_size": 1024,
            "intermediate_size": 3072,
            "num_hidden_layers": 28,
            "num_attention_heads": 16,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "tie_word_embeddings": True,
        },
    ),
    "qwen3-1.7b": (
        "Qwen3Config",
        {
            "vocab_size": 151936,
            "hidden_size": 2048,
            "intermediate_size": 6144,
            "num_hidden_layers": 28,
            "num_attention_heads": 16,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "tie_word_embeddings": True,
        },
    ),
    "qwen3-8b": (
        "Qwen3Config",
        {
            "vocab_size": 151936,
            "hidden_size": 4096,
            "intermediate_size": 12288,
            "num_hidden_layers": 36,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "head_dim": 128,
            "tie_word_embeddings": False,
        },
    ),
    "gemma3-1b": (
        "Gemma3TextConfig",
        {
            "vocab_size": 262144,
            "hidden_size": 1152,
            "intermediate_size": 6912,
            "num_hidden_layers": 26,
            "num_attention_heads": 4,
            "num_key_value_heads": 1,
            "head_dim": 256,
        },
    ),
    "gemma3-270m": (
        "Gemma3TextConfig",
        {
            "vocab_size": 262144,
            "hidden_size": 640,
            "intermediate_size": 2048,
            "num_hidden_layers": 18,
            "num_attention_heads": 4,
            "num_key_value_heads": 1,
            "head_dim": 256,
        },
    ),
    "kobart": (
        "BartConfig",
        {
            "vocab_size": 30000,
            "d_model": 768,
            "encoder_layers": 6,
            "decoder_layers": 6,
            "encoder_ffn_dim": 3072,
            "decoder_ffn_dim": 3072,
            "encoder_attention_heads": 16,
            "decoder_attention_heads": 16,
            "max_position_embeddings": 1026,
        },
    ),
    "mbart50": (
        "MBartConfig",
        {
            "vocab_size": 250054,
            "d_model": 1024,
            "encoder_layers": 12,
            "decoder_layers": 12,
            "encoder_ffn_dim": 4096,
            "decoder_ffn_dim": 4096,
            "max_position_embeddings": 1024,
        },
    ),
}


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Registry:
    """The shipped registry alone: an empty working directory, no plugin packages."""
    return load((), Plugins(PluginSettings(packages=())), tmp_path_factory.mktemp("empty"))


def hub_models(zoo: Registry) -> Iterator[ModelSpec]:
    return (m for m in zoo.models.values() if m.source and not m.source[0].startswith("pypi:"))


# -- models -----------------------------------------------------------------------------------------------------


def test_sources_are_hub_ids_or_pinned_packages(zoo: Registry) -> None:
    for model in zoo.models.values():
        if model.engine == "control":
            assert model.source == () and model.params == 0, model.name
        elif model.source[0].startswith("pypi:"):
            assert all(PYPI.fullmatch(s) for s in model.source), model.name
            assert model.sha256 is not None and re.fullmatch("[0-9a-f]{64}", model.sha256), model.name
        else:
            (source,) = model.source
            assert HUB_ID.fullmatch(source) and len(source) <= 96, model.name


def test_parts_of_one_file_are_in_order(zoo: Registry) -> None:
    parts = zoo.models["gemma3-270m"].source
    assert [s.rpartition("part")[2] for s in parts] == ["00", "01", "02", "03"]
    assert len({s.partition("==")[0] for s in parts}) == 4


def test_nothing_unsafe_is_allowed(zoo: Registry) -> None:
    assert not [m.name for m in zoo.models.values() if m.allow]


def test_every_checkpoint_has_a_licence_and_a_size(zoo: Registry) -> None:
    assert not [m.name for m in zoo.models.values() if m.engine != "control" and not (m.license and m.params)]


def test_revisions_are_commits(zoo: Registry) -> None:
    assert all(re.fullmatch("[0-9a-f]{40}", m.revision) for m in zoo.models.values() if m.revision)


def test_sources_are_distinct(zoo: Registry) -> None:
    sources = [m.source for m in zoo.models.values() if m.source]
    assert len(set(sources)) == len(sources)


def test_gated_checkpoints_say_so(zoo: Registry) -> None:
    gated = [m for m in hub_models(zoo) if m.source[0].startswith("google/gemma-3")]
    assert len(gated) == 2 and all("gated" in m.note for m in gated)


def test_encoder_decoders_search_with_beams_and_the_others_do_not(zoo: Registry) -> None:
    adapters = Plugins(PluginSettings(packages=())).adapters
    for model in zoo.models.values():
        beams = zoo.decodings[model.decoding].strategy == "beam"
        assert beams == (adapters[model.adapter].architecture == "encoder_decoder"), model.name


def test_the_constant_control_is_the_sentence_with_the_known_score(zoo: Registry) -> None:
    # The figures 32.56/24.52/29.82 on DialogSum-ko dev belong to exactly this sentence.
    assert zoo.models["constant-ko"].options == {"text": "#Person1#은 #Person2#에게 이야기를 합니다."}


@pytest.mark.parametrize("name", sorted(PUBLISHED))
def test_params_agree_with_the_published_architecture(zoo: Registry, name: str) -> None:
    transformers = pytest.importorskip("transformers")
    import torch

    config_class, values = PUBLISHED[name]
    config = getattr(transformers, config_class)(**values)
    encoder_decoder = config_class in ("BartConfig", "MBartConfig")
    auto = transformers.AutoModelForSeq2SeqLM if encoder_decoder else transformers.AutoModelForCausalLM
    with torch.device("meta"):
        model = auto.from_config(config)
    counted = sum(p.numel() for p in model.parameters())  # tied weights are one parameter, counted once
    assert zoo.models[name].params == pytest.approx(counted, rel=0.01)


def test_adapters_engines_decodings_and_prompts_exist(zoo: Registry) -> None:
    plugins = Plugins(PluginSettings(packages=()))
    for model in zoo.models.values():
        assert model.adapter in plugins.adapters, model.name
        assert model.engine in plugins.engines, model.name
        assert model.decoding in zoo.decodings, model.name
        assert model.prompt is None or model.prompt in zoo.prompts, model.name


# -- decodings --------------------------------------------------------------------------------------------------


def test_decodings_have_one_length_limit(zoo: Registry) -> None:
    plugins = Plugins(PluginSettings(packages=()))
    made = {name: plugins.decodings[d.strategy].Params(**d.params) for name, d in zoo.decodings.items()}
    assert made.pop("long").max_new_tokens == 640
    assert {p.max_new_tokens for p in made.values()} == {128}


# -- prompts ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("style", ["chat", "completion"])
@pytest.mark.parametrize("language", ["ko", "en"])
def test_there_is_a_default_prompt_for_each_language_and_style(zoo: Registry, language: str, style: str) -> None:
    assert zoo.prompt(default_prompt(style, language)).language == language


def test_every_prompt_has_one_place_for_the_dialogue(zoo: Registry) -> None:
    for prompt in zoo.prompts.values():
        assert prompt.user.count("{dialogue}") == 1, prompt.name
        assert "{dialogue}" not in prompt.system, prompt.name
        assert prompt.language == prompt.name[:2]
        places = r"\{(dialogue|topic)\}" if prompt.name == "ko-nikl" else r"\{dialogue\}"
        assert not re.search(r"[{}]", re.sub(places, "", prompt.user)), prompt.name


@pytest.mark.parametrize(
    ("name", "needed"),
    [
        ("ko-default", "한국어|한두 문장|현재형|#Person1#|#PhoneNumber#|이름|머리말|요약문만"),
        ("en-default", "English|one or two sentences|present tense|#Person1#|#PhoneNumber#|name|only the summary"),
    ],
)
def test_chat_prompts_ask_for_what_references_are(zoo: Registry, name: str, needed: str) -> None:
    prompt = zoo.prompts[name]
    assert prompt.system
    assert [n for n in needed.split("|") if n not in prompt.user] == []


def test_korean_prompts_are_korean(zoo: Registry) -> None:
    # Latin letters only inside tags and masks: nothing may invite an English answer.
    for name in ("ko-default", "ko-completion"):
        prompt = zoo.prompts[name]
        texts = [prompt.system, prompt.user.replace("{dialogue}", "")]
        texts += [t for e in prompt.examples for t in (e.dialogue, e.summary)]
        for text in texts:
            assert not re.search("[A-Za-z]", re.sub(r"#[A-Za-z]\w*#", "", text)), (name, text)


def test_completion_prompts_end_where_the_summary_begins(zoo: Registry) -> None:
    for name, cue in (("ko-completion", "요약:"), ("en-completion", "Summary:")):
        prompt = zoo.prompts[name]
        assert prompt.user.endswith(cue)
        assert len(prompt.examples) == 2


def test_examples_are_in_the_style_of_the_references(zoo: Registry) -> None:
    for prompt in zoo.prompts.values():
        for example in prompt.examples:
            turns = example.dialogue.splitlines()
            assert len(turns) >= 4 and all(re.match(r"#Person\d#: \S", t) for t in turns), prompt.name
            sentences = re.findall(r"[.!?](?:\s|$)", example.summary)
            assert 1 <= len(sentences) <= 2, prompt.name
            assert set(re.findall(r"#\w+#", example.summary)) <= set(re.findall(r"#\w+#", example.dialogue)), (
                prompt.name
            )
            assert len(example.summary) < len(example.dialogue), prompt.name


def test_no_example_is_a_sample(zoo: Registry) -> None:
    files = sorted(SAMPLES.glob("*.jsonl"))
    assert files, "samples-ko is not there"
    rows = [json.loads(line) for f in files for line in f.read_text(encoding="utf-8").splitlines() if line.strip()]
    turns = {squeeze(t) for row in rows for t in str(row["dialogue"]).splitlines()}
    examples = [e for p in zoo.prompts.values() if p.language == "ko" for e in p.examples]
    shared = [t for e in examples for t in e.dialogue.splitlines() if squeeze(t) in turns and len(squeeze(t)) > 25]
    assert rows and shared == []


def squeeze(text: str) -> str:
    return re.sub(r"\s+", "", text)


def tags(text: str) -> set[str]:
    return set(re.findall(r"#\w+#", text))


# -- datasets ---------------------------------------------------------------------------------------------------


def test_shipped_datasets_need_no_file_and_have_a_licence(zoo: Registry) -> None:
    assert zoo.datasets
    for dataset in zoo.datasets.values():
        assert dataset.path.startswith("dsum_bench.datasets:") and dataset.license, dataset.name


# -- the text of the file ---------------------------------------------------------------------------------------


def test_the_header_shows_a_user_entry_that_loads(tmp_path: Path) -> None:
    """What the comment at the top tells a user to write is valid, uncommented."""
    text = (ROOT / "registry.toml").read_text(encoding="utf-8")
    header = text.partition("\n\n\n")[0]
    entries = "\n".join(line.removeprefix("#     ") for line in header.splitlines() if line.startswith("#     "))
    (tmp_path / "registry.toml").write_text(entries, encoding="utf-8")
    (tmp_path / "dsum_plugin.py").write_text("", encoding="utf-8")
    assert plugin_files((), tmp_path) == (str(tmp_path / "dsum_plugin.py"),)
    mine = load((), Plugins(PluginSettings(packages=())), tmp_path)
    assert mine.models["mine"].source == (str(tmp_path / "checkpoints" / "mine"),)
    assert mine.models["kobart"].revision and mine.models["kobart"].origin == str(tmp_path / "registry.toml")
    assert mine.models["mine"].params == 1_300_000_000
    assert mine.datasets["meetings"].path == str(tmp_path / "data" / "{split}.csv")
    assert mine.datasets["dialogsum-en"].columns["summary"] == ("summary1", "summary2", "summary3")
    assert mine.decodings["careful"].params == {"repetition_penalty": 1.1}
    assert mine.prompts["mine-short"].user.endswith("{dialogue}")
