"""The built-in trainers: low-rank adapters by peft, and all weights."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from dsum_bench.errors import ModelError, suggestion
from dsum_bench.training.base import Trainer
from dsum_bench.training.params import MOVING, DpoParams, FullParams, LoraParams, OrpoParams

if TYPE_CHECKING:
    from dsum_bench.training.preferring import PairScores


class LoRA(Trainer):
    """Low-rank adapters on a base in 16 or 32 bits."""

    name = "lora"
    Params = LoraParams
    keeps = "adapter"
    variant: ClassVar[dict[str, bool]] = {}

    def __init__(self, params: Any) -> None:
        super().__init__(params)
        self._start: dict[str, Any] = {}

    def prepare(self, network: Any) -> Any:
        from peft import LoraConfig, get_peft_model

        params: LoraParams = self.params
        seq2seq = network.config.is_encoder_decoder
        counted = network.device.type == "meta"  # there is no weight yet that could be taken apart
        if params.gradient_checkpointing:
            # The inputs of a frozen base carry no gradient, and a checkpointed layer would give none back.
            network.enable_input_require_grads()
        if self.start is not None:
            return continued(network, self.start, params.dropout_for(network.num_parameters()), counted)
        check_modules(network, params)
        moves = params.init in MOVING and not counted
        config = LoraConfig(
            r=params.r,
            lora_alpha=params.alpha,
            lora_dropout=params.dropout_for(network.num_parameters()),
            # Found from the model: every linear layer except the output, whatever a family calls them.
            target_modules=list(params.target_modules) or "all-linear",
            modules_to_save=list(params.modules_to_save) or None,
            init_lora_weights=True if params.init == "default" or counted else params.init,
            task_type="SEQ_2_SEQ_LM" if seq2seq else "CAUSAL_LM",
            **self.variant,
        )
        made = get_peft_model(network, config)
        if moves:
            self._start = {n: p.detach().cpu().clone() for n, p in made.named_parameters() if p.requires_grad}
        return made

    def save(self, network: Any, folder: Path, weights: dict[str, Any] | None) -> None:
        if self._start:
            save_difference(network, folder, self._start)
        else:
            super().save(network, folder, weights)

    def optimizer(self, network: Any) -> Any:
        if not self.params.lora_plus:
            return None
        from peft.optimizers import create_loraplus_optimizer
        from torch.optim import AdamW

        return create_loraplus_optimizer(
            model=network,
            optimizer_cls=AdamW,
            lr=self.params.lr,
            loraplus_lr_ratio=self.params.lora_plus,
            loraplus_weight_decay=self.params.weight_decay,
        )


class QLoRA(LoRA):
    """Low-rank adapters on a base in NF4 with double quantisation (Dettmers et al. 2023)."""

    name = "qlora"
    quantization = "nf4"


class DoRA(LoRA):
    """Low-rank adapters of the direction, beside a trained magnitude (Liu et al. 2024)."""

    name = "dora"
    variant: ClassVar[dict[str, bool]] = {"use_dora": True}


class RsLoRA(LoRA):
    """Low-rank adapters weighted by alpha / sqrt(r), so that a higher rank still learns (Kalajdzievski 2023)."""

    name = "rslora"
    variant: ClassVar[dict[str, bool]] = {"use_rslora": True}


class DPO(LoRA):
    """Low-rank adapters that prefer the better of two summaries more than before (Rafailov et al. 2023).

    The loss begins with ln 2: nothing is preferred more than before yet.
    """

    name = "dpo"
    Params = DpoParams
    learns = "pairs"

    def pair_loss(self, scores: PairScores) -> Any:
        from torch.nn.functional import logsigmoid

        gained = (scores.better - scores.better_before) - (scores.worse - scores.worse_before)
        return -logsigmoid(self.params.beta * gained).mean()


class QDPO(DPO):
    """DPO on a base in NF4 with double quantisation."""

    name = "qdpo"
    quantization = "nf4"


class ORPO(LoRA):
    """Low-rank adapters that learn the better text and prefer its summary to the worse one (Hong et al. 2024).

    As TRL does it: the whole better text is learnt, prompt and summary; odds are those of the mean probability of a
    token.
    """

    name = "orpo"
    Params = OrpoParams
    learns = "pairs"
    reads_prompts = True
    compares_before = False

    def pair_loss(self, scores: PairScores) -> Any:
        from torch import expm1, log
        from torch.nn.functional import logsigmoid

        better, worse = (
            (total / tokens).clamp(max=-1e-7)  # of a probability of 1 the odds are infinite
            for total, tokens in ((scores.better, scores.better_tokens), (scores.worse, scores.worse_tokens))
        )
        odds = (better - worse) - (log(-expm1(better)) - log(-expm1(worse)))
        return scores.text_loss - self.params.beta * logsigmoid(odds).mean()


class QORPO(ORPO):
    """ORPO on a base in NF4 with double quantisation."""

    name = "qorpo"
    quantization = "nf4"


class Full(Trainer):
    """Every weight."""

    name = "full"
    Params = FullParams
    keeps = "checkpoint"

    def prepare(self, network: Any) -> Any:
        return network.requires_grad_(True)


def continued(network: Any, folder: Path, dropout: float, counted: bool) -> Any:
    """The network with a trained adapter on it, to be trained further.

    counted: the network has no weights, and the adapter needs none.
    """
    from peft import LoraConfig, PeftModel, get_peft_model

    config = LoraConfig.from_pretrained(folder)
    config.lora_dropout, config.inference_mode = dropout, False
    if counted:
        return get_peft_model(network, config)
    return PeftModel.from_pretrained(network, folder, config=config, is_trainable=True, local_files_only=True)


def check_modules(network: Any, params: LoraParams) -> None:
    """Refuse names of layers that the network does not have; peft passes over all but the last of them.

    Raises:
        ModelError: names the nearest ones that there are.
    """
    from torch import nn

    ends = {name.rpartition(".")[2]: module for name, module in network.named_modules()}
    linear = sorted(end for end, module in ends.items() if isinstance(module, nn.Linear))
    for key, known in (("target_modules", linear), ("modules_to_save", sorted(ends))):
        for wanted in getattr(params, key):
            if not any(name == wanted or name.endswith(f".{wanted}") for name, _ in network.named_modules()):
                names = f"; its linear layers are {', '.join(linear)}" if key == "target_modules" else ""
                raise ModelError(f"{key}: it has no layer '{wanted}'{suggestion(wanted, known)}{names}")
    for wanted in params.modules_to_save:
        packed = [
            p for name, p in network.named_parameters() if f".{wanted}." in f".{name}" and not p.is_floating_point()
        ]
        if packed:
            raise ModelError(f"modules_to_save: '{wanted}' is held in 4 bits, and only an adapter on it can be trained")


def save_difference(network: Any, folder: Path, start: dict[str, Any]) -> None:
    """Write an adapter that began with a part of its base, as one for the whole base.

    The base W was parted into W - s B0 A0 and the adapter. After training the network is W + s (B A - B0 A0), which is
    an adapter of twice the rank with the same scale s: A' = [A; A0], B' = [B, -B0] (peft's documentation of PiSSA).

    start: A0 and B0 by the names of the network's parameters.
    """
    import torch
    from peft import get_peft_model_state_dict
    from safetensors.torch import save_file

    (name,) = network.peft_config
    first = get_peft_model_state_dict(network, state_dict=start, adapter_name=name)
    found = {}
    for key, value in get_peft_model_state_dict(network, adapter_name=name).items():
        a = "lora_A" in key
        both = [value.detach().cpu(), first[key] if a else -first[key]]
        found[key] = torch.cat(both, dim=0 if a else 1).contiguous()
    config = copy.deepcopy(network.peft_config[name])
    config.lora_alpha *= 2**0.5 if config.use_rslora else 2
    config.r *= 2
    config.init_lora_weights, config.inference_mode = True, True
    save_file(found, folder / "adapter_model.safetensors", metadata={"format": "pt"})
    config.save_pretrained(folder)
