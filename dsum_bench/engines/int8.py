"""Products in 8 bits on a CPU. Imports torch: import this module inside methods only.

Weights have a scale for each output channel, activations one for each row, found anew in every product: the largest
value of the row becomes 127. So that no value is far above the others of its row, rows and weights are rotated before:
a Hadamard matrix spreads each value over a block, and as it is orthogonal, their product stays the same (Ashkboos et
al. 2024, "QuaRot"). Rows are rotated as integers, so those sums are exact, as the sums of the product are: a row's
result has the same bits whatever else is in the batch.

The product itself is oneDNN's; as it knows one scale of activations only, it is given 1, and the scales of the rows are
applied to its result. It takes activations as unsigned bytes with 128 for zero, as the instructions do.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

import torch
from torch import nn

from dsum_bench.engines import tuned
from dsum_bench.engines.mapping import let_go
from dsum_bench.engines.packing import replace_linear, unmapped
from dsum_bench.engines.sharing import sharing
from dsum_bench.engines.steady import STEADY

LARGEST, ZERO = 127, 128
BLOCK = 32
"""Values that are rotated together at most. Smaller blocks leave more outliers; larger ones take longer and are hardly
better."""
STEP = {block: torch.tensor(block / 2**23) for block in (1, 2, 4, 8, 16, 32)}
"""A row is rotated as integers, in steps of this part of its largest value. Sums of so many are below 2**24: exact."""
UNIT = torch.tensor(1 / LARGEST)
"""A tensor, as all numbers that a step of decoding multiplies with: torch makes one of a float each time."""
SMALLEST = 1e-30
"""A row of zeros has this as its largest value."""
SIZES = 128
"""Many rows are filled up to a multiple: oneDNN compiles code for each number of rows, which takes 0.5 to 2 ms."""
CHANNELS = 4096
"""Quantised at once: the weights of a large vocabulary should not lie in memory in float32."""


@cache
def hadamard(width: int) -> torch.Tensor:
    """The matrix, of 1 and -1, for rows of this width: as large as BLOCK, or as the power of two that divides it."""
    made = torch.ones(1, 1)
    while len(made) < BLOCK and width % (2 * len(made)) == 0:
        made = torch.cat([torch.cat([made, made], 1), torch.cat([made, -made], 1)])
    return made


def rotated(rows: torch.Tensor, turn: torch.Tensor) -> torch.Tensor:
    """Rows of which every block is multiplied with the matrix: sqrt(len(turn)) times as long as they were."""
    return torch.mm(rows.reshape(-1, len(turn)), turn).view(rows.shape)


@dataclass(frozen=True)
class Bytes:
    """Rotated rows in bytes, with 128 for zero.

    values: (rows and what fills up, columns). scales: (rows, 1).
    """

    values: torch.Tensor
    scales: torch.Tensor


class Rows:
    """The rows that were quantised last: layers that stand side by side take the same ones."""

    def __init__(self) -> None:
        self.last: tuple[torch.Tensor, nn.Module, Bytes] | None = None

    def quantised(self, x: torch.Tensor, parent: nn.Module) -> Bytes:
        """What is made of the rows of x for layers of this module."""
        if self.last is None or self.last[0] is not x or self.last[1] is not parent:
            self.last = x, parent, quantise(x.reshape(-1, x.shape[-1]))
        return self.last[2]


def quantise(x: torch.Tensor) -> Bytes:
    """Rows in bytes: ``rotated(x) = (values - 128) * scale`` within half a scale.

    These are the operations of torch that are fast on a CPU: a norm takes forty times as long as a largest value, and a
    conversion to unsigned bytes eight times as long as one to signed bytes.
    """
    turn = hadamard(x.shape[1])
    step = x.abs().amax(dim=1, keepdim=True).clamp_(min=SMALLEST).mul_(STEP[len(turn)])
    turned = rotated(torch.div(x, step).round_(), turn)
    unit = turned.abs().amax(dim=1, keepdim=True).clamp_(min=1).mul_(UNIT)
    steps, rows = turned.div_(unit).round_(), len(x)
    if rows < SIZES:
        values = steps.to(torch.int8)
    else:
        values = torch.empty(-(-rows // SIZES) * SIZES, x.shape[1], dtype=torch.int8)
        values[:rows] = steps
    return Bytes(values.view(torch.uint8).bitwise_xor_(ZERO), step.mul_(unit))


def channels(
    weight: torch.Tensor, turn: torch.Tensor | None = None, added: Callable[[], torch.Tensor] | None = None
) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights in 8 bits, and the scale of each row, (rows,).

    Args:
        turn: what rows are rotated with; its size is in the scale. added: makes what is added to the weights.
    """
    made = torch.empty(weight.shape, dtype=torch.int8)
    scales = torch.empty(len(weight))
    more = None if added is None else added()
    for at in range(0, len(weight), CHANNELS):
        part = weight[at : at + CHANNELS].detach().float()
        part = part if more is None else part + more[at : at + CHANNELS]
        part = part if turn is None else rotated(part, turn)
        found = part.abs().amax(dim=1).clamp_(min=SMALLEST) / LARGEST
        scales[at : at + CHANNELS] = found if turn is None else found / len(turn)
        made[at : at + CHANNELS] = (part / found[:, None]).round_()
        del part
        let_go(weight[at : at + CHANNELS])
    return made, scales


class Product:
    """One product for linear layers that take the same rows.

    Args:
        layers: their outputs stand side by side. rows: shared by all products of a network.
        parent: the module that the layers are part of. added: makes what is added to the weights of a layer.
    """

    def __init__(
        self,
        layers: Sequence[nn.Linear],
        rows: Rows,
        parent: nn.Module,
        added: Mapping[nn.Linear, Callable[[], torch.Tensor]],
    ) -> None:
        made = [channels(layer.weight, hadamard(layer.in_features), added.get(layer)) for layer in layers]
        weight, self.scales = (torch.cat(parts) if len(parts) > 1 else parts[0] for parts in zip(*made, strict=True))
        del made
        self.weight: torch.Tensor = torch.ops.onednn.qlinear_prepack(weight, None)
        self.zeros = torch.zeros(len(self.scales), dtype=torch.long)
        given = [layer.bias for layer in layers]
        self.bias = None
        if any(bias is not None for bias in given):
            zero = [torch.zeros(layer.out_features) for layer in layers]
            self.bias = torch.cat([z if b is None else b.detach().float() for z, b in zip(zero, given, strict=True)])
        self.rows, self.parent = rows, parent
        self.layers, self.left = len(layers), 0
        self.last: tuple[torch.Tensor, torch.Tensor] | None = None

    def outputs(self, x: torch.Tensor) -> torch.Tensor:
        """Outputs of shape (rows, those of all layers); computed once where each layer asks for them."""
        if self.layers == 1:
            return self._outputs(x)
        if self.last is None or self.last[0] is not x:
            self.last, self.left = (x, self._outputs(x)), self.layers
        made, self.left = self.last[1], self.left - 1
        if not self.left:
            self.last = None
        return made

    def _outputs(self, x: torch.Tensor) -> torch.Tensor:
        rows = self.rows.quantised(x, self.parent)
        made: torch.Tensor = torch.ops.onednn.qlinear_pointwise(
            rows.values, 1.0, ZERO, self.weight, self.scales, self.zeros, None, 1.0, 0, torch.float32, "none", [], ""
        )
        made = made[: len(rows.scales)].mul_(rows.scales)
        return made if self.bias is None else made.add_(self.bias)


class Int8Linear(nn.Module):
    """A linear layer: the columns of a product from ``start`` on."""

    def __init__(self, layer: nn.Linear, product: Product, start: int = 0) -> None:
        super().__init__()
        self.in_features, self.out_features = layer.in_features, layer.out_features
        self.product, self.start = product, start

    @property
    def weight(self) -> torch.Tensor:
        """Packed; that of all layers of the product."""
        return self.product.weight

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        made = self.product.outputs(x)
        if self.product.layers > 1:
            made = made[:, self.start : self.start + self.out_features]
        return made.view(*x.shape[:-1], self.out_features)


class Int8Embedding(nn.Module):
    """An embedding in 8 bits with a scale for each token. factor: what all embeddings are multiplied with."""

    def __init__(self, weight: torch.Tensor, scales: torch.Tensor, factor: float | torch.Tensor) -> None:
        super().__init__()
        self.weight, self.scales, self.factor = weight, scales, factor

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.weight[ids].float() * self.scales[ids].unsqueeze(-1) * self.factor


def quantise_network(network: Any) -> None:
    """Put all linear layers and the embedding in 8 bits, one after the other; the rest, which is little, in float32.

    What a LoRA adapter adds to a layer's weights becomes part of them. What was a parameter is one no longer.
    """
    shared = network.get_input_embeddings().weight
    added = tuned.taken_off(network)
    replace_linear(network, _Replacing(sharing(network), added))
    weight, scales = channels(shared)
    for module in list(network.modules()):
        for name, child in list(module.named_children()):
            if isinstance(child, nn.Embedding) and child.weight is shared:
                setattr(module, name, Int8Embedding(weight, scales, getattr(child, "embed_scale", 1.0)))
    unmapped(network)
    base = network.get_base_model() if hasattr(network, "get_base_model") else network
    base.config.dtype = torch.float32
    if base.config.is_encoder_decoder and base.config._attn_implementation == "sdpa":
        base.set_attn_implementation(STEADY)


class _Replacing:
    """Makes the layers that replace those of a network, one product for all that stand side by side.

    beside: for each layer those that take the same tensor as part of the same module, itself among them.
    added: makes what is added to the weights of a layer.
    """

    def __init__(
        self, beside: dict[nn.Linear, list[nn.Linear]], added: Mapping[nn.Linear, Callable[[], torch.Tensor]]
    ) -> None:
        self.rows, self.beside, self.added = Rows(), beside, added
        self.made: dict[nn.Linear, Int8Linear] = {}

    def __call__(self, layer: nn.Linear, parent: nn.Module) -> nn.Module:
        if layer not in self.made:
            layers = self.beside.get(layer, [layer])
            for each in layers:  # no longer than needed: their weights are large
                self.beside.pop(each, None)
            product, start = Product(layers, self.rows, parent, self.added), 0
            for each in layers:
                self.made[each] = Int8Linear(each, product, start)
                start += each.out_features
        return self.made.pop(layer)
