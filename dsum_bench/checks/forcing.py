"""Teacher forcing without a model: could these tokens be written through a run's own processors and stopping rules?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dsum_bench.checks.base import Setup
from dsum_bench.checks.vocabulary import embedding_rows
from dsum_bench.decoding.base import Batch
from dsum_bench.errors import ModelError
from dsum_bench.spec import Sample

if TYPE_CHECKING:
    import torch

ROWS = 16
"""Rows of scores processed at once, beams counted: 16 times 128,256 floats are 8 MB."""
WANTED = 1e4
"""Score of the token that is to come, all others having 0: nothing but a ban keeps it from being chosen."""
TAGS = ("#Person1#", "#Person2#", "#Person3#", "#Person4#", " #Person1#", "\n#Person2#")


@dataclass(frozen=True, slots=True)
class Stop:
    """Where a target cannot be written on. token: the one that is forbidden, or that ends the output too early."""

    at: int
    token: int
    early: bool = False


def stops(setup: Setup, targets: Sequence[tuple[Sample, Sequence[int]]]) -> list[Stop | None]:
    """The first stop of each target, None where it can be written.

    targets: samples with what is to be written for them, end token included; what lies beyond max_new_tokens is not
        looked at.
    """
    assert setup.decoding is not None
    group = max(1, ROWS // setup.decoding.beams)
    found: list[Stop | None] = []
    for start in range(0, len(targets), group):
        found += _group(setup, targets[start : start + group])
    return found


def constrains(setup: Setup) -> bool:
    """Whether anything but the scores decides what is written."""
    if setup.decoding is None:
        return False
    ends = set(_ends(setup))
    batch = Batch(("x",), 1, frozenset(), ("-",), tuple(ends), setup.loaded.tokenizer)
    config = {**setup.decoding.config(), **setup.adapter.generate_arguments()}
    plain = ("max_new_tokens", "num_beams", "do_sample", "early_stopping", "length_penalty", "forced_bos_token_id")
    return bool(setup.decoding.processors(batch)) or any(value for key, value in config.items() if key not in plain)


def target(setup: Setup, reference: str) -> tuple[int, ...]:
    """Ids of a reference as the model would have to write it; without an end where nothing says how outputs end."""
    try:
        return setup.adapter.target(reference)
    except ModelError:
        return tuple(setup.loaded.tokenizer(reference, add_special_tokens=False)["input_ids"])


def ends_early(setup: Setup, ids: Sequence[int]) -> bool:
    """Whether an end token stands in the midst of ids."""
    return not set(_ends(setup)).isdisjoint(ids[:-1])


def _group(setup: Setup, targets: Sequence[tuple[Sample, Sequence[int]]]) -> list[Stop | None]:
    import torch

    assert setup.decoding is not None
    beams, ends = setup.decoding.beams, _ends(setup)
    ids = _prompts(setup, [s for s, _ in targets], ends[0])
    processors = _processors(setup, [s for s, _ in targets], ids, ends)
    rows = embedding_rows(setup.loaded.config, len(setup.loaded.tokenizer))
    most = int(str(setup.decoding.config()["max_new_tokens"]))
    found: list[Stop | None] = [None] * len(targets)
    longest = min(most, max(len(target) for _, target in targets))
    for step in range(longest):
        wanted = torch.tensor([t[step] if step < len(t) else ends[0] for _, t in targets])
        wanted = wanted.repeat_interleave(beams)[:, None]
        scores = torch.zeros(len(wanted), rows).scatter_(1, wanted, WANTED)
        left = processors(ids, scores)
        free = left.isfinite().gather(1, wanted)[::beams, 0] & (left.argmax(1)[::beams] == wanted[::beams, 0])
        for row, (_, target) in enumerate(targets):
            if found[row] is None and step < len(target):
                if not free[row]:
                    found[row] = Stop(step, target[step])
                elif target[step] in ends and step < len(target) - 1:
                    found[row] = Stop(step, target[step], early=True)
        ids = torch.cat([ids, wanted], dim=1)
    return found


def _ends(setup: Setup) -> tuple[int, ...]:
    return tuple(dict.fromkeys((*setup.loaded.end_ids, *setup.adapter.end_ids())))


def _prompts(setup: Setup, samples: Sequence[Sample], pad: int) -> torch.Tensor:
    """What the outputs are appended to, a row for each beam: the prompts of a decoder, filled up on the left."""
    import torch

    beams = setup.decoding.beams if setup.decoding else 1
    if setup.adapter.architecture != "decoder":
        return torch.full((len(samples) * beams, 1), pad)
    prompts = [list(setup.prompts[s.id].token_ids) for s in samples]
    width = max(map(len, prompts))
    return torch.tensor([[pad] * (width - len(p)) + p for p in prompts]).repeat_interleave(beams, dim=0)


def _processors(setup: Setup, samples: Sequence[Sample], ids: torch.Tensor, ends: Sequence[int]) -> Any:
    """The processors of ``generate``: those that transformers makes of the configuration, then the decoding's own."""
    import torch
    from transformers import GenerationConfig
    from transformers.generation import GenerationMixin

    assert setup.decoding is not None
    tokenizer = setup.loaded.tokenizer
    tags = {i for text in TAGS for i in tokenizer(text, add_special_tokens=False)["input_ids"]}
    batch = Batch(
        tuple(s.id for s in samples),
        ids.shape[1],
        frozenset(i for i in tags if tokenizer.decode([i]).strip()),
        tuple(s.dialogue for s in samples),
        tuple(ends),
        tokenizer,
    )
    config = GenerationConfig(**setup.decoding.config(), **setup.adapter.generate_arguments(), eos_token_id=list(ends))
    config._eos_token_tensor = torch.tensor(ends)
    return GenerationMixin()._get_logits_processor(
        config, input_ids_seq_length=ids.shape[1], logits_processor=setup.decoding.processors(batch), device="cpu"
    )
