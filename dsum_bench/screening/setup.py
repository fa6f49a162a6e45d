"""One model opened without its weights, as ``prompt`` and ``check`` look at it."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from dsum_bench.adapters.base import Adapter
from dsum_bench.checks import runner
from dsum_bench.checks.base import Setup
from dsum_bench.decoding.base import Decoding
from dsum_bench.engines.base import Engine, Loaded
from dsum_bench.errors import UserError
from dsum_bench.plugins import Plugins
from dsum_bench.screening.preflight import Candidate
from dsum_bench.screening.worker import build_adapter, build_decoding
from dsum_bench.spec import Finding, Prompt, RunSpec, Sample

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class OpenedModel:
    """A model's tokenizer and adapter, as a run would use them."""

    run: RunSpec
    engine: Engine
    loaded: Loaded
    adapter: Adapter
    decoding: Decoding | None


@dataclass(frozen=True, slots=True)
class TokenizedPrompt:
    """The prompt of one sample and the text of each of its tokens, none for a control."""

    prompt: Prompt
    pieces: tuple[str, ...]


def open_model(candidate: Candidate, plugins: Plugins, tell: Tell) -> OpenedModel:
    """The tokenizer and adapter of a model that can run here; its weights are not loaded.

    Raises:
        UserError: it cannot run here. ModelError, ModelSkipped: its files are at fault, or cannot be fetched.
    """
    run = candidate.run
    if candidate.status != "ready":
        raise UserError(f"{run.model.name}: {candidate.reason}")
    engine = plugins.engines[run.model.engine](run.model, run.placement)
    loaded = engine.prepare(lambda text: tell(f"{run.model.name}: {text}"))
    decoding = build_decoding(run, plugins)
    return OpenedModel(run, engine, loaded, build_adapter(run, plugins, loaded, decoding), decoding)


def tokenized(model: OpenedModel, sample: Sample) -> TokenizedPrompt:
    """Exactly what the model reads for a sample."""
    prompt = model.adapter.prompt(sample)
    tokenizer = model.loaded.tokenizer
    return TokenizedPrompt(prompt, tuple(tokenizer.decode([i]) for i in prompt.token_ids) if tokenizer else ())


def findings(model: OpenedModel, samples: Sequence[Sample], plugins: Plugins, warn: Tell) -> list[Finding]:
    """What the checks that need no generation find."""
    prompts = {s.id: model.adapter.prompt(s) for s in samples}
    setup = Setup(model.run, samples, prompts, model.adapter, model.decoding, model.engine, model.loaded)
    return runner.before(plugins, setup, warn)
