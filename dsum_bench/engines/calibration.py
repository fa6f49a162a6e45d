"""Channels whose activations are outliers in most rows, found with one pass over a fixed text. Imports torch: import
this module inside methods only.

In many networks a few channels of what a norm returns are far above the others, always the same ones (Dettmers et al.
2022, "LLM.int8()"). In 8 bits such a row would keep few steps for all other channels.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from dsum_bench.engines.mapping import let_go

TEXT = """#Person1#: 안녕하세요, 지난주에 주문한 책이 아직 오지 않아서 전화드렸어요.
#Person2#: 불편을 드려 죄송합니다. 주문 번호를 알려 주시겠어요?
#Person1#: 네, 20394번이고 3월 12일에 결제했습니다.
#Person2#: 확인해 보니 창고에서 오늘 아침에 출발했네요. 내일 오후 2시쯤 도착할 거예요.
#Person1#: 다행이네요. 혹시 제가 집에 없으면 경비실에 맡겨 주실 수 있나요?
#Person2#: 그럼요, 기사님께 전해 드릴게요. 더 필요한 게 있으신가요?
요약: #Person1#은 주문한 책이 오지 않아 문의했고, #Person2#는 내일 도착한다고 안내한다.

Summarize the dialogue in one sentence.
#Person1#: Did you finish the slides for Monday's meeting, Tom?
#Person2#: Almost. I still need last year's sales figures, about 40% of them are missing.
#Person1#: Ask Julia; she keeps a copy on her laptop. And don't forget the budget!
#Person2#: Thanks, I'll call her right after lunch.
Summary: #Person2# has nearly finished the slides and will ask Julia for the sales figures.
"""
TOKENS = 384
WRITTEN = 128
"""Tokens that a decoder beside an encoder is given."""
APART = 16
"""Channels that are kept apart at most. The outliers at the inputs of ``down_proj`` are in other channels in every row:
there it helps little."""
FEW = 0.05
"""A share of rows that is left as it is."""
NARROWEST = 8 * APART
"""A layer of fewer inputs keeps none apart."""


def ids(tokenizer: Any, config: Any) -> torch.Tensor:
    """The text as (1, tokens), no longer than the network can read."""
    longest = getattr(config.get_text_config(), "max_position_embeddings", None) or TOKENS
    made: list[int] = tokenizer(TEXT)["input_ids"]
    return torch.tensor([made[: min(TOKENS, longest)]])


@dataclass(frozen=True, eq=False)
class Inputs:
    """What linear layers take; those of one tensor share this.

    apart: the channels to keep apart, ascending, or None. outliers: the share of rows that have an outlier.
    """

    apart: torch.Tensor | None
    outliers: float


@torch.inference_mode()
def inputs(network: Any, ids: torch.Tensor, peak: float) -> Mapping[nn.Linear, Inputs]:
    """The inputs of the linear layers that this text, (1, tokens), reaches.

    peak: a row has an outlier where its largest value is more than so many times its root mean square.
    """
    found: dict[nn.Linear, Inputs] = {}
    last: list[Any] = [None, None]

    def note(layer: nn.Linear, taken: tuple[torch.Tensor, ...]) -> None:
        if last[0] is not taken[0]:
            last[:] = taken[0], _inputs(taken[0].flatten(0, -2).float(), peak)
        found.setdefault(layer, last[1])

    def done(layer: nn.Linear, *passed: Any) -> None:
        let_go(layer.weight)

    layers = [m for m in network.modules() if type(m) is nn.Linear]
    hooks = [layer.register_forward_pre_hook(note) for layer in layers]
    hooks += [layer.register_forward_hook(done) for layer in layers]
    base = network.get_base_model() if hasattr(network, "get_base_model") else network
    try:
        more = {"decoder_input_ids": ids[:, :WRITTEN]} if base.config.is_encoder_decoder else {}
        base.base_model(input_ids=ids, use_cache=False, **more)  # scores of a vocabulary would be large
    finally:
        for hook in hooks:
            hook.remove()
    return found


def _inputs(rows: torch.Tensor, peak: float) -> Inputs:
    """The channels with the largest values are kept apart where less than half as many rows have an outlier then."""
    before = _outliers(rows, peak)
    if before <= FEW or rows.shape[1] < NARROWEST:
        return Inputs(None, before)
    chosen = rows.abs().amax(dim=0).topk(APART).indices.sort().values
    after = _outliers(rows.index_fill(1, chosen, 0.0), peak)
    return Inputs(chosen if after < before / 2 else None, before)


def _outliers(rows: torch.Tensor, peak: float) -> float:
    """The share of rows that have an outlier."""
    return float((rows.abs().amax(dim=1) > peak * rows.square().mean(dim=1).sqrt()).float().mean())
