"""A loaded engine with its adapter, and transformers alone beside it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dsum_bench.adapters.base import AdapterContext
from dsum_bench.adapters.build import build
from dsum_bench.decoding.base import Decoding
from dsum_bench.engines.huggingface import HuggingFace
from dsum_bench.plugins import Plugins
from dsum_bench.spec import Example, Generation, ModelSpec, Placement, PluginSettings, PromptSpec, Sample

LINES = [
    "#Person1#: 안녕하세요, 어떻게 오셨어요?",
    "#Person2#: 어제부터 목이 아프고 열이 나요.",
    "#Person1#: 체온을 재 볼게요. 38도네요. 약을 드릴 테니 하루 세 번 드세요.",
    "#Person2#: 감사합니다. 제 번호는 #PhoneNumber#예요.",
    "#Person1#: 네, 3일 뒤에 다시 오세요.",
]
SAMPLES = [Sample(f"s{n}", "\n".join((LINES * 3)[:n])) for n in (2, 9, 4, 12, 5, 3, 7)]
PROMPT = PromptSpec(
    "p", "대화를 요약하세요.\n{dialogue}\n요약:", "짧게 씁니다.", (Example("#Person1#: 네.", "끝납니다."),)
)
NEW = 12
PLUGINS = Plugins(PluginSettings(packages=()))
CPU = Placement("cpu", "float32", "none", "")


class LoadedEngine:
    """A loaded engine with its adapter."""

    def __init__(self, folder: Path, adapter: str, options: Mapping[str, object], placement: Placement = CPU) -> None:
        self.model = ModelSpec("m", adapter, (str(folder),), options=options)
        self.engine = HuggingFace(self.model, placement)
        loaded = self.engine.prepare(lambda text: None)
        context = AdapterContext(self.model, PROMPT, "template", "ko", loaded.tokenizer, 500)
        self.adapter = build(PLUGINS, context)
        self.prompts = [self.adapter.prompt(s) for s in SAMPLES]
        self.engine.load(lambda text: None)

    def batches(self, decoding: Decoding) -> list[list[Generation]]:
        return list(self.engine.generate(self.prompts, self.adapter, decoding, lambda text: None))

    def texts(self, decoding: Decoding) -> dict[str, tuple[str, int, str]]:
        return {g.sample_id: (g.text, g.new_tokens, g.finish) for b in self.batches(decoding) for g in b}

    def one_by_one(self, **arguments: Any) -> dict[str, str]:
        """The oracle: transformers alone, a prompt at a time, no padding, no adapter."""
        import torch

        found = {}
        for prompt in self.prompts:
            ids = torch.tensor([prompt.token_ids])
            ends = list(self.engine._ends(self.adapter))
            out = self.engine.network.generate(
                ids, max_new_tokens=NEW, eos_token_id=ends, pad_token_id=ends[0], **arguments
            )[0]
            new = out[1:] if self.adapter.architecture == "encoder_decoder" else out[ids.shape[1] :]
            ids = new.tolist()
            stop = next((i for i, token in enumerate(ids) if token in ends), len(ids))
            found[prompt.sample_id] = self.adapter.decode(ids[:stop])
        return found
