"""Products in 8 bits on a CPU. Imports torch: import this module inside methods only.

Weights have a scale for each output channel, activations one for each row, found anew in every product: the largest
value of the row becomes 127, and a row with a value far above the others is taken in two parts. So a row's result does
not depend on what else is in the batch, and the sums, of integers, are exact. The product itself is oneDNN's; as it
knows one scale of activations only, it is given 1, and the scales of the rows are applied to its result. It takes
activations as unsigned bytes with 128 for zero, as the instructions do.

Channels that are outliers in most rows are kept apart (``calibration``): each has several columns, among which its
value is divided, so that the scale of a row need not grow with it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import nn
from transformers import AttentionInterface, AttentionMaskInterface
from transformers.masking_utils import sdpa_mask

from dsum_bench.engines.calibration import FEW, Inputs, inputs
from dsum_bench.engines.mapping import let_go
from dsum_bench.engines.packing import replace_linear, unmapped
from dsum_bench.engines.pages import HIDDEN
from dsum_bench.engines.pieces import PLACES, QUERIES, blocks, together, widened
from dsum_bench.engines.reading import STEADY

LARGEST, ZERO = 127, 128
FINER = 2 * LARGEST
"""Steps of a remainder in one step of its row: it is at most half of that."""
PEAK = 10.0
"""A row whose largest value is more than so many times its root mean square has a remainder: quality against speed."""
COLUMNS = 4
"""Of a channel that is kept apart: it may be so many times as large as the others. A sum of them is still exact."""
SMALLEST = 1e-30
"""A row of zeros has this as its largest value."""
SIZES = 128
"""Many rows are filled up to a multiple: oneDNN compiles code for each number of rows, which takes 0.5 to 2 ms."""
NONE = torch.empty(0, dtype=torch.long)
CHANNELS = 4096
"""Quantised at once: the weights of a large vocabulary should not lie in memory in float32."""


@dataclass(frozen=True)
class Bytes:
    """Rows in bytes, with 128 for zero. Where a value stands out, the others would be left with few steps: what
    rounding has taken from such a row follows as a row of its own.

    values: (rows, remainders and what fills up, columns). scales: (rows, 1). follow: the rows that have a remainder;
    None for all.
    """

    values: torch.Tensor
    scales: torch.Tensor
    follow: torch.Tensor | None


class Apart:
    """Channels that are kept apart. The first column of each is at its place, the others follow behind.

    kept: (inputs,), 0 for a channel that is kept apart and 1 for the others.
    """

    def __init__(self, channels: torch.Tensor, inputs: int) -> None:
        self.channels = channels
        self.kept = torch.ones(inputs).index_fill_(0, channels, 0.0)
        self.steps = torch.arange(COLUMNS).float()[:, None, None]
        self.columns = len(channels) * (COLUMNS - 1)

    def put(self, whole: torch.Tensor, into: torch.Tensor) -> None:
        """Divide integers of shape (rows, channels) among their columns, so that none is above a COLUMNS-th of the
        largest: by Hermite's identity, n is the sum of floor((n + k) / m) over k from 0 to m - 1."""
        parts = whole.add(self.steps).div_(COLUMNS).floor_().to(torch.int8)
        into.index_copy_(1, self.channels, parts[0])
        into[:, -self.columns :] = parts[1:].transpose(0, 1).flatten(1)

    def widened(self, weight: torch.Tensor) -> torch.Tensor:
        """Weights of shape (outputs, inputs) as (outputs, columns)."""
        return torch.cat([weight, *[weight[:, self.channels]] * (COLUMNS - 1)], dim=1)


class Rows:
    """The rows that were quantised last: layers that stand side by side take the same ones."""

    def __init__(self) -> None:
        self.last: tuple[torch.Tensor, nn.Module, Apart | None, Bytes] | None = None
        self.room = torch.empty(0)  # new memory for each product would cost more than the product of small layers

    def quantised(self, x: torch.Tensor, parent: nn.Module, apart: Apart | None, fine: bool) -> Bytes:
        """What is made of the rows of x. fine: whether a step, of one token a row, needs remainders."""
        last = self.last
        if last is None or last[0] is not x or last[1] is not parent or last[2] is not apart:
            rows = x.reshape(-1, x.shape[-1])
            if x.dim() == 3 and x.shape[1] == 1:
                made = quantise_step(rows, apart.columns if apart else 0, fine)
            else:
                if self.room.numel() < x.numel():
                    self.room = torch.empty(x.numel())
                made = quantise(rows, self.room[: x.numel()].view_as(rows), apart)
            self.last = last = x, parent, apart, made
        return last[3]


def quantise(x: torch.Tensor, room: torch.Tensor, apart: Apart | None = None) -> Bytes:
    """Rows in bytes: ``x = (values - 128) * scale`` within half a scale, or a 508th of one with its remainder.

    room: memory of the same shape. These are the operations of torch that are fast on a CPU: a norm takes forty times
    as long as the two extremes, and a conversion to unsigned bytes eight times as long as one to signed bytes.
    """
    near = x if apart is None else torch.mul(x, apart.kept)
    largest = torch.maximum(near.amax(dim=1, keepdim=True), -near.amin(dim=1, keepdim=True)).clamp_(min=SMALLEST)
    if apart is not None:
        far = x.index_select(1, apart.channels)
        largest = torch.maximum(largest, far.abs().amax(dim=1, keepdim=True).div_(COLUMNS))
    scales = largest / LARGEST
    square = torch.mul(near, near, out=room).mean(dim=1, keepdim=True)
    follow = (largest**2 > PEAK**2 * square).flatten().nonzero().flatten()
    rows, width = x.shape
    end = rows + len(follow)
    filled = -(-end // SIZES) * SIZES if rows >= SIZES else end
    values = torch.empty(filled, width + (apart.columns if apart else 0), dtype=torch.int8)
    steps = torch.mul(near, 1 / scales, out=room).round_()
    values[:rows, :width] = steps
    if len(follow):
        rough, finer = scales[follow], FINER / scales[follow]
        rest = near[follow].sub_(steps[follow].mul_(rough)).mul_(finer).round_()
        values[rows:end, :width] = rest.clamp_(-LARGEST, LARGEST)
    if apart is not None:
        whole = torch.mul(far, 1 / scales).round_()
        apart.put(whole, values[:rows])
        if len(follow):
            apart.put(far[follow].sub_(whole[follow].mul_(rough)).mul_(finer).round_(), values[rows:end])
    return Bytes(values.view(torch.uint8).bitwise_xor_(ZERO), scales, follow)


def quantise_step(x: torch.Tensor, columns: int, fine: bool) -> Bytes:
    """The rows of a step in bytes, each with its remainder if ``fine``. As the weights take most of the time of so few
    rows, remainders cost less than finding out which of them are needed; nor are channels kept apart."""
    scales = x.abs().amax(dim=1, keepdim=True).clamp_(min=SMALLEST).div_(LARGEST)
    exact = x / scales
    steps = exact.round()
    parts = [steps, exact.sub_(steps).mul_(FINER).round_()] if fine else [steps]
    values = torch.cat(parts).to(torch.int8)
    if columns:
        values = nn.functional.pad(values, (0, columns))
    return Bytes(values.view(torch.uint8).bitwise_xor_(ZERO), scales, None if fine else NONE)


def channels(weight: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Weights in 8 bits, and the scale of each row, (rows,)."""
    made = torch.empty(weight.shape, dtype=torch.int8)
    scales = torch.empty(len(weight))
    for at in range(0, len(weight), CHANNELS):
        part = weight[at : at + CHANNELS].detach().float()
        found = part.abs().amax(dim=1).clamp_(min=SMALLEST) / LARGEST
        scales[at : at + CHANNELS] = found
        made[at : at + CHANNELS] = (part / found[:, None]).round_()
        del part
        let_go(weight[at : at + CHANNELS])
    return made, scales


class Product:
    """One product for linear layers that take the same rows.

    Args:
        layers: their outputs stand side by side. rows: shared by all products of a network.
        parent: the module that the layers are part of. inputs: what they take, where that is known.
    """

    def __init__(self, layers: Sequence[nn.Linear], rows: Rows, parent: nn.Module, inputs: Inputs | None) -> None:
        width = layers[0].in_features
        apart = None if inputs is None or inputs.apart is None else Apart(inputs.apart, width)
        made = [channels(layer.weight) for layer in layers]
        weight, self.scales = (torch.cat(parts) if len(parts) > 1 else parts[0] for parts in zip(*made, strict=True))
        del made
        self.weight: torch.Tensor = torch.ops.onednn.qlinear_prepack(apart.widened(weight) if apart else weight, None)
        self.zeros = torch.zeros(len(self.scales), dtype=torch.long)
        given = [layer.bias for layer in layers]
        self.bias = None
        if any(bias is not None for bias in given):
            zero = [torch.zeros(layer.out_features) for layer in layers]
            self.bias = torch.cat([z if b is None else b.detach().float() for z, b in zip(zero, given, strict=True)])
        fine = inputs is None or inputs.outliers > FEW
        self.quantised: Callable[[torch.Tensor], Bytes] = partial(rows.quantised, parent=parent, apart=apart, fine=fine)
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
        rows = self.quantised(x)
        both: torch.Tensor = torch.ops.onednn.qlinear_pointwise(
            rows.values, 1.0, ZERO, self.weight, self.scales, self.zeros, None, 1.0, 0, torch.float32, "none", [], ""
        )
        count = len(rows.scales)
        made = both[:count]
        if rows.follow is None:
            made = made.add_(both[count:], alpha=1 / FINER).mul_(rows.scales)
        else:
            made = made.mul_(rows.scales)
            if len(rows.follow):
                made[rows.follow] += both[count : count + len(rows.follow)].mul_(rows.scales[rows.follow] / FINER)
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


def quantise_network(network: Any, ids: torch.Tensor | None = None) -> None:
    """Put all linear layers and the embedding in 8 bits, one after the other; the rest, which is little, in float32.

    The layers of a trained LoRA adapter stay as they are: they are small. What was a parameter is one no longer.

    ids: a text of shape (1, tokens) that shows which channels to keep apart; without it, none are.
    """
    shared = network.get_input_embeddings().weight
    replace_linear(network, _Replacing(network, {} if ids is None else inputs(network, ids, PEAK)))
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
    """Makes the layers that replace those of a network, one product for all that stand side by side."""

    def __init__(self, network: Any, known: Mapping[nn.Linear, Inputs]) -> None:
        self.rows, self.known = Rows(), dict(known)
        self.beside: dict[tuple[nn.Module, Inputs], list[nn.Linear]] = {}
        self.made: dict[nn.Linear, Int8Linear] = {}
        for parent in network.modules():
            for layer in parent.children():
                if type(layer) is nn.Linear and layer in known:
                    self.beside.setdefault((parent, known[layer]), []).append(layer)

    def __call__(self, layer: nn.Linear, parent: nn.Module) -> nn.Module:
        if layer not in self.made:
            inputs = self.known.get(layer)
            layers = [layer] if inputs is None else self.beside.pop((parent, inputs), [layer])
            for each in layers:  # no longer than needed: their weights are large
                self.known.pop(each, None)
            product, start = Product(layers, self.rows, parent, inputs), 0
            for each in layers:
                self.made[each] = Int8Linear(each, product, start)
                start += each.out_features
        return self.made.pop(layer)


def _steady_attention(
    module: Any,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    mask: torch.Tensor | None,
    scaling: float | None = None,
    is_causal: bool | None = None,
    position_bias: torch.Tensor | None = None,
    **kwargs: Any,
) -> tuple[torch.Tensor, None]:
    """Attention whose outputs have the same bits in any batch: those of rows that are filled up on the right."""
    queries, width = query.shape[2], key.shape[2]
    added = query.new_zeros(1, 1, queries, width)
    if mask is not None:
        added = torch.zeros(mask.shape).masked_fill_(~mask, HIDDEN) if mask.dtype == torch.bool else mask
    elif queries > 1 and (getattr(module, "is_causal", True) if is_causal is None else is_causal):
        added = added.masked_fill_(torch.ones(queries, width, dtype=torch.bool).triu(width - queries + 1), HIDDEN)
    if position_bias is not None:
        added = added + position_bias
    missing = -queries % QUERIES if queries > 1 else 0
    added = nn.functional.pad(added, (0, -width % PLACES), value=HIDDEN)
    added = nn.functional.pad(added, (0, 0, 0, missing))
    asked = nn.functional.pad(query, (0, 0, 0, missing))
    found = together(blocks(asked, widened(key, PLACES), widened(value, PLACES), added, scaling, True))
    return found[:, :, :queries].transpose(1, 2).contiguous(), None


AttentionInterface.register(STEADY, _steady_attention)
AttentionMaskInterface.register(STEADY, sdpa_mask)
