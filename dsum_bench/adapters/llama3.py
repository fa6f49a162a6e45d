"""The adapter ``llama3``: Llama 3 to 3.3 and models tuned from them."""

from __future__ import annotations

from dataclasses import dataclass

from dsum_bench.adapters.chat import ChatAdapter, ChatOptions
from dsum_bench.adapters.families import FAMILIES


@dataclass(frozen=True, slots=True)
class Llama3Options(ChatOptions):
    """date_string: the "today" that templates from 3.1 on print. Left to themselves they print the real date, and
    tomorrow's prompt is another one; this is the date they name where there is no clock."""

    date_string: str = "26 Jul 2024"


class Llama3Adapter(ChatAdapter):
    """Prompts that do not depend on the day, and every end token the family uses."""

    name = "llama3"
    Options = Llama3Options
    family = FAMILIES["llama3"]
    ends = ("<|eot_id|>", "<|eom_id|>", "<|end_of_text|>")

    def template_arguments(self) -> dict[str, object]:
        return {"date_string": self.options.date_string, **super().template_arguments()}
