"""Trainers: how a screened model is made a better one. Importing this costs nothing."""

from __future__ import annotations

from collections.abc import Callable

from dsum_bench import hookimpl
from dsum_bench.training.base import Trainer
from dsum_bench.training.trainers import DPO, ORPO, QDPO, QORPO, DoRA, Full, LoRA, QLoRA, RsLoRA


@hookimpl
def dsum_register_trainers(register: Callable[[type[Trainer]], None]) -> None:
    for trainer in (QLoRA, LoRA, DoRA, RsLoRA, DPO, QDPO, ORPO, QORPO, Full):
        register(trainer)
