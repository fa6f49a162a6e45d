"""EXAONE, the Korean and English language models of LG AI Research, for dsum-bench."""

from __future__ import annotations

import re
from collections.abc import Callable

from dsum_bench import Adapter, ChatAdapter, ModelSpec, hookimpl


class ExaoneAdapter(ChatAdapter):
    """EXAONE 3.5 and 4 through the chat template of their tokenizers.

    Version 4 thinks before it answers unless it is told not to; what it thinks all the same is cut when its
    output is read. Version 3.5 knows no such switch and its template passes over it.
    """

    name = "exaone"
    family = re.compile(r"exaone\w*")
    ends = ("[|endofturn|]",)

    def template_arguments(self) -> dict[str, object]:
        return {"enable_thinking": False, **super().template_arguments()}


MODELS = (
    ModelSpec(
        name="exaone4-1.2b",
        adapter="exaone",
        source=("LGAI-EXAONE/EXAONE-4.0-1.2B",),
        params=1_279_391_488,
        license="EXAONE AI Model License Agreement 1.2 - NC",
        note="research and education only; trained on Korean, English and Spanish",
    ),
    ModelSpec(
        name="exaone35-2.4b",
        adapter="exaone",
        source=("LGAI-EXAONE/EXAONE-3.5-2.4B-Instruct",),
        params=2_405_327_360,
        license="EXAONE AI Model License Agreement 1.1 - NC",
        note="research only; its network is code in its own repository, which an entry of yours must allow by name",
    ),
)


@hookimpl
def dsum_register_adapters(register: Callable[[type[Adapter]], None]) -> None:
    register(ExaoneAdapter)


@hookimpl
def dsum_register_models(register: Callable[[ModelSpec], None]) -> None:
    for model in MODELS:
        register(model)
