"""What an engine is: it runs one model on this machine."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar, Literal

from dsum_bench.adapters.base import Adapter, Architecture
from dsum_bench.decoding.base import Decoding
from dsum_bench.machine import Machine
from dsum_bench.spec import Generation, ModelSpec, Placement, Prompt

Tell = Callable[[str], None]
"""Tells the person watching what is going on, in a few words; also proof that the worker is alive."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What an engine can say of a model before it loads anything.

    weights: fingerprint of the checkpoint, part of the run's key.
    config: the checkpoint's ``config.json`` if available, else {}.
    download_bytes: what must be fetched first, 0 when everything is here or the size is unknown.
    revision: the commit that was found, so that the worker loads just that.
    template: whether its tokenizer has a chat template; None where that is not known yet.
    """

    placement: Placement
    weights: str
    config: Mapping[str, Any]
    download_bytes: int = 0
    revision: str | None = None
    template: bool | None = None


@dataclass(frozen=True, slots=True)
class Loaded:
    """What ``prepare`` found.

    max_tokens: the longest sequence the model can take. end_ids: what the checkpoint itself says ends an output.
    folder: where its files lie, None when there are none. record: where the record of its training would lie.
    more_records: those of further members of an ensemble.
    """

    tokenizer: Any
    config: Mapping[str, Any]
    max_tokens: int | None
    end_ids: tuple[int, ...] = ()
    folder: Path | None = None
    record: Path | None = None
    more_records: tuple[Path, ...] = ()

    @property
    def records(self) -> tuple[Path, ...]:
        """Every place where a record of training may lie."""
        return (*((self.record,) if self.record else ()), *self.more_records)


class Engine(ABC):
    """Runs one model. Made in the worker process; only ``plan`` is called in the parent.

    name: the ``engine`` of a registry entry.
    """

    name: ClassVar[str]

    def __init__(self, model: ModelSpec, placement: Placement) -> None:
        self.model = model
        self.placement = placement

    @classmethod
    @abstractmethod
    def plan(cls, model: ModelSpec, machine: Machine, beams: int) -> Plan:
        """Decide placement and fingerprint within seconds, without loading weights.

        Raises:
            ModelSkipped: it cannot run here (no memory, hub unreachable, gated).
            ModelError: the entry is at fault (no such folder, pickled weights not allowed).
        """

    @classmethod
    def versions(cls) -> Mapping[str, str]:
        """Versions of the packages whose code shapes this engine's output."""
        return {}

    @abstractmethod
    def prepare(self, tell: Tell) -> Loaded:
        """Fetch what is missing and open tokenizer and configuration; no weights yet."""

    @abstractmethod
    def load(self, tell: Tell) -> None:
        """Load the weights."""

    @abstractmethod
    def generate(
        self, prompts: Sequence[Prompt], adapter: Adapter, decoding: Decoding | None, tell: Tell
    ) -> Iterator[list[Generation]]:
        """Yield finished batches, in any order; every prompt exactly once."""

    def padding_side(self, architecture: Architecture) -> Literal["left", "right", ""]:
        """Where shorter prompts of a batch are filled up; '' when they are not."""
        return ""

    def peak_memory(self) -> int:
        """Largest memory used so far on the device that bounds it, in bytes."""
        return 0

    @classmethod
    def free(cls, model: ModelSpec) -> int:
        """Delete what was downloaded for this model; returns the bytes freed. Files of the user's own stay."""
        return 0


class TrainableEngine(Engine):
    """An engine whose network can be trained where it lies: all that training uses of an engine.

    folder, tokenizer: of the checkpoint, once prepared. network: a torch module with a transformers configuration, once
    loaded. packed: keep quantised weights packed even where generating would rather have them unpacked. sharded: the
    weights will be split over processes. Both are set before ``load``.
    """

    folder: Path
    tokenizer: Any
    network: Any
    packed: bool = False
    sharded: bool = False

    @abstractmethod
    def skeleton(self) -> Any:
        """The network on torch's ``meta`` device, where a tensor has a shape and no memory; after ``prepare``."""
