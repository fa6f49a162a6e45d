"""The built-in trainers: low-rank adapters by peft, and all weights."""

from __future__ import annotations

from typing import Any, ClassVar

from dsum_bench.training.base import Trainer
from dsum_bench.training.params import FullParams, LoraParams


class LoRA(Trainer):
    """Low-rank adapters on a base in 16 or 32 bits."""

    name = "lora"
    Params = LoraParams
    keeps = "adapter"
    variant: ClassVar[dict[str, bool]] = {}

    def prepare(self, network: Any) -> Any:
        from peft import LoraConfig, get_peft_model

        params: LoraParams = self.params
        seq2seq = network.config.is_encoder_decoder
        config = LoraConfig(
            r=params.r,
            lora_alpha=params.alpha,
            lora_dropout=params.dropout_for(network.num_parameters()),
            # Found from the model: every linear layer except the output, whatever a family calls them.
            target_modules="all-linear",
            task_type="SEQ_2_SEQ_LM" if seq2seq else "CAUSAL_LM",
            **self.variant,
        )
        if params.gradient_checkpointing:
            # The inputs of a frozen base carry no gradient, and a checkpointed layer would give none back.
            network.enable_input_require_grads()
        return get_peft_model(network, config)

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


class Full(Trainer):
    """Every weight."""

    name = "full"
    Params = FullParams
    keeps = "checkpoint"

    def prepare(self, network: Any) -> Any:
        return network.requires_grad_(True)
