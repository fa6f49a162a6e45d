"""The adapter ``qwen``: Qwen 2, 2.5 and 3 with ChatML."""

from __future__ import annotations

from dsum_bench.adapters.chat import ChatAdapter
from dsum_bench.adapters.families import FAMILIES


class QwenAdapter(ChatAdapter):
    """Thinking is switched off in the template; what a model thinks aloud all the same is cut when it is read."""

    name = "qwen"
    family = FAMILIES["qwen"]
    ends = ("<|im_end|>", "<|endoftext|>")

    def template_arguments(self) -> dict[str, object]:
        return {"enable_thinking": False, **super().template_arguments()}
