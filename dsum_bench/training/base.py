"""What a trainer is: it says which weights of a loaded network are trained, and how."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from dsum_bench.spec import Quantization
from dsum_bench.training.params import TrainingParams

if TYPE_CHECKING:
    from dsum_bench.training.preferring import PairScores


class Trainer(ABC):
    """One way to train, the ``trainer`` of a ``[recipes.NAME]`` entry. The loop itself is transformers' Trainer.

    Params: frozen dataclass of the recipe's parameters, a subclass of ``dsum_bench.training.params.Params``.
    quantization: how the base is held in memory meanwhile. keeps: what the result folder holds.
    learns: summaries, or which of two is better; then ``pair_loss`` is the loss. reads_prompts: whether that needs the
    probabilities of the prompt's tokens too. compares_before: whether it needs those of before training.
    """

    name: ClassVar[str]
    Params: ClassVar[type[TrainingParams]]
    quantization: ClassVar[Quantization] = "none"
    keeps: ClassVar[Literal["adapter", "checkpoint"]]
    learns: ClassVar[Literal["summaries", "pairs"]] = "summaries"
    reads_prompts: ClassVar[bool] = False
    compares_before: ClassVar[bool] = True

    def __init__(self, params: Any) -> None:
        self.params = params
        self.start: Path | None = None
        """Folder of a trained adapter that training goes on with; set before ``prepare``."""

    @abstractmethod
    def prepare(self, network: Any) -> Any:
        """The network with exactly those weights requiring a gradient that are to be trained.

        Also called on a network on the ``meta`` device, to count them before any weight is loaded.
        """

    def save(self, network: Any, folder: Path, weights: dict[str, Any] | None) -> None:
        """Write the trained network, as ``prepare`` made it, so that transformers or peft can read it.

        weights: the trained ones by name, where the network holds a share of them; None where it holds all.
        """
        network.save_pretrained(folder, state_dict=weights)

    def pair_loss(self, scores: PairScores) -> Any:
        """The loss of a batch of pairs, a scalar: a mean over pairs."""
        raise NotImplementedError(f"trainer '{self.name}' learns from pairs, but defines no pair_loss")

    def optimizer(self, network: Any) -> Any:
        """An optimiser of its own; None for the one that ``params.optimizer`` names."""
        return None
