"""Small things to test with: dialogues, a tokenizer, a network, adapters and runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from dsum_bench.adapters.base import Adapter, AdapterContext
from dsum_bench.adapters.build import read_options
from dsum_bench.checks.base import RunOutputs
from dsum_bench.spec import Generation, ModelSpec, Output, Placement, PromptSpec, RunSpec, Sample

CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""A chat template that many models have."""

SAMPLES = (
    Sample("one", "#Person1#: 안녕하세요?\n#Person2#: 네, 반갑습니다.", ("#Person1#과 #Person2#가 인사한다.",)),
    Sample("two", "#Person1#: 번호가 뭐예요?\n#Person2#: #PhoneNumber#이에요.\n#Person1#: 네.", ("번호를 묻는다.",)),
    Sample("three", "#Person1#: 가자.", ("가자고 한다.", "#Person1#이 가자고 한다.")),
)
"""Dialogues of different lengths, with tags, a mask, and one or two references."""

PROMPT = PromptSpec("rules", "다음 대화를 요약하세요.\n{dialogue}\n요약:", "당신은 대화를 요약합니다.")


def byte_tokenizer(
    template: str | None = None, bos: str | None = "<s>", adds_bos: bool = True, more: Sequence[str] = ()
) -> Any:
    """A transformers tokenizer in which every byte is a token and nothing is unknown.

    template: its chat template. adds_bos: whether it puts BOS before a text. more: further control tokens.
    """
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    letters = {letter: i for i, letter in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    inner = Tokenizer(models.BPE(letters, []))
    inner.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    inner.decoder = decoders.ByteLevel()
    inner.add_special_tokens([t for t in (bos, "</s>", "<|im_start|>", "<|im_end|>", *more) if t])
    if bos and adds_bos:
        inner.post_processor = processors.TemplateProcessing(
            single=f"{bos} $A", special_tokens=[(bos, inner.token_to_id(bos))]
        )
    made = PreTrainedTokenizerFast(tokenizer_object=inner, bos_token=bos, eos_token="</s>")
    made.chat_template = template
    return made


def make_adapter(
    adapter: type[Adapter],
    tokenizer: Any = None,
    prompt: PromptSpec | None = PROMPT,
    options: Mapping[str, object] | None = None,
    limit: int | None = None,
) -> Adapter:
    """An adapter as a run makes it. limit: room for the prompt, in tokens."""
    model = ModelSpec("under-test", adapter.name, options=options or {}, origin="test")
    context = AdapterContext(model, prompt, "template", "ko", tokenizer, limit)
    return adapter(context, read_options(adapter, model))


def make_written(summaries: Sequence[str], samples: Sequence[Sample] = ()) -> RunOutputs:
    """A finished run that wrote these summaries, of as many dialogues; for checks that look at outputs."""
    asked = samples or [Sample(str(i), f"#Person1#: 안녕?\n#Person2#: {i}번.") for i in range(len(summaries))]
    outputs = {
        s.id: Output(Generation(s.id, text, 10, len(text), "stop", 0.1), text)
        for s, text in zip(asked, summaries, strict=True)
    }
    model = ModelSpec("under-test", "chat", origin="test")
    run = RunSpec(
        model=model,
        dataset="test",
        language="ko",
        split="dev",
        selection="all",
        n_samples=len(asked),
        dataset_fingerprint="",
        references_fingerprint="",
        prompt=PROMPT,
        prompt_format="template",
        decoding=None,
        placement=Placement("cpu", "float32", "none", "test"),
        weights="",
        seed=42,
        versions={},
    )
    return RunOutputs(run, {s.id: s for s in asked}, outputs, complete=True)


def tiny_network(device: str = "cpu") -> Any:
    """A random Llama of two layers; on the device ``meta`` it has shapes and no weights."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    config = LlamaConfig(
        vocab_size=64, hidden_size=32, intermediate_size=64, num_hidden_layers=2, num_attention_heads=4
    )
    with torch.device(device):
        return LlamaForCausalLM(config)
