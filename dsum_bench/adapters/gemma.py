"""The adapter ``gemma``: Gemma 1 to 3."""

from __future__ import annotations

from dsum_bench.adapters.chat import ChatAdapter, Messages
from dsum_bench.adapters.families import FAMILIES


class GemmaAdapter(ChatAdapter):
    """The family has no system role, and without BOS it writes garbage."""

    name = "gemma"
    family = FAMILIES["gemma"]
    ends = ("<end_of_turn>", "<eos>")
    always_bos = True

    def messages(self, dialogue: str) -> Messages:
        said = super().messages(dialogue)
        if said[0]["role"] != "system":
            return said
        system, first, *rest = said
        return [{"role": "user", "content": f"{system['content']}\n\n{first['content']}"}, *rest]
