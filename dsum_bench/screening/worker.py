"""What happens in a worker process: one job from its prompts to its outputs."""

from __future__ import annotations

from collections.abc import Callable, Container, Sequence
from dataclasses import dataclass, replace
from functools import partial
from math import isfinite
from typing import get_args

from dsum_bench.adapters.base import Adapter, AdapterContext
from dsum_bench.characters import repaired
from dsum_bench.checks import runner
from dsum_bench.checks.base import Setup
from dsum_bench.decoding.base import Decoding
from dsum_bench.engines.base import Engine, Loaded
from dsum_bench.errors import ModelError
from dsum_bench.executors.base import Event, Progress
from dsum_bench.executors.child import outcome
from dsum_bench.plugins import Plugins
from dsum_bench.screening.job import BatchDone, ChecksDone, OfGroup, ScreeningEvent, ScreeningGroup, ScreeningJob
from dsum_bench.spec import Draft, Finish, Generation, Output, Prompt, RunSpec, Sample

Emit = Callable[[ScreeningEvent], None]
More = Callable[[], tuple[Sample, ...]]


@dataclass(slots=True)
class Opened:
    """A model that jobs of one group share. loaded: once its tokenizer is open; ready: once its weights are there."""

    engine: Engine | None = None
    loaded: Loaded | None = None
    ready: bool = False


def run(job: ScreeningJob, emit: Emit, more: More = tuple) -> None:
    """Prompts, generations and summaries of one job, sent batch by batch.

    more: called when its samples are through; gives further ones for the same model, or none. An executor that shares
    a model's samples between workers has each load the model once.
    """
    _run(job, emit, Opened(), more)


def run_group(group: ScreeningGroup, emit: Callable[[Event], None]) -> None:
    """The jobs of a group, one after another on the same loaded model; one that fails costs the others nothing."""
    opened = Opened()

    def tell(event: Event) -> None:
        emit(OfGroup(group.id, event))

    for job in group.jobs:
        tell(outcome(job.id, job.log, partial(_run, job, tell, opened)))


def _run(job: ScreeningJob, emit: Emit, opened: Opened, more: More = tuple) -> None:
    spec = job.run
    plugins = Plugins(job.plugins)

    def tell(text: str) -> None:
        emit(Progress(job.id, text))

    tell("starting")
    if opened.engine is None or opened.loaded is None:
        opened.engine = plugins.get("engine", spec.model.engine)(spec.model, spec.placement)
        opened.loaded = opened.engine.prepare(tell)
    engine, loaded = opened.engine, opened.loaded
    decoding = build_decoding(spec, plugins)
    adapter = build_adapter(spec, plugins, loaded, decoding)
    tell("building prompts")
    samples = (*job.samples, *job.finished)
    prompts = {s.id: adapter.prompt(s) for s in samples}
    setup = Setup(spec, samples, prompts, adapter, decoding, engine, loaded)
    faults: list[str] = []
    found = tuple(runner.before(plugins, setup, faults.append))
    emit(ChecksDone(job.id, found, tuple(faults), next(iter(prompts.values()), None) if spec.prompt else None))
    if not job.samples:
        return  # all outputs are there, and only the checks were missing
    if not opened.ready:
        engine.load(tell)
        opened.ready = True
    wanted = job.samples
    while wanted:
        asked = [prompts.get(s.id) or adapter.prompt(s) for s in wanted]
        _generate(job, asked, engine, adapter, decoding, emit)
        wanted = more()


def _generate(
    job: ScreeningJob,
    prompts: Sequence[Prompt],
    engine: Engine,
    adapter: Adapter,
    decoding: Decoding | None,
    emit: Emit,
) -> None:
    gathered = Gathered(prompts, decoding.candidates if decoding else 1)
    for batch in engine.generate(gathered.prompts, adapter, decoding, lambda text: emit(Progress(job.id, text))):
        outputs: list[Output] = []
        try:
            for made in batch:
                outputs += gathered.take(made, adapter)
        finally:  # one output that cannot be read must not cost those before it
            if outputs:
                emit(BatchDone(job.id, tuple(outputs), engine.peak_memory()))


class Gathered:
    """What an engine is asked, each prompt as often as it is to be answered, and its answers put together again.

    The first answer has the sample's own id, so that it is what one alone would be.
    """

    def __init__(self, prompts: Sequence[Prompt], candidates: int) -> None:
        self._asked = {_copy(p.sample_id, i): (p, i) for p in prompts for i in range(candidates)}
        self.prompts = [replace(prompt, sample_id=name) for name, (prompt, _) in self._asked.items()]
        self._candidates = candidates
        self._found: dict[str, dict[int, Output]] = {}

    def take(self, made: Generation, adapter: Adapter) -> list[Output]:
        """The output of a sample whose last answer this is, else nothing.

        Raises:
            ModelError: an answer that was not asked for, is there already, or cannot be read.
        """
        _check(made, self._asked)
        prompt, number = self._asked[made.sample_id]
        output = _read(replace(made, sample_id=prompt.sample_id), adapter, prompt)
        del self._asked[made.sample_id]
        answers = self._found.setdefault(prompt.sample_id, {})
        answers[number] = output
        if len(answers) < self._candidates:
            return []
        del self._found[prompt.sample_id]
        first, *others = (answers[i] for i in range(self._candidates))
        drafts = tuple(
            Draft(o.generation.text, o.summary, o.generation.new_tokens, o.generation.finish) for o in others
        )
        seconds = sum(o.generation.seconds for o in answers.values())
        return [replace(first, generation=replace(first.generation, seconds=seconds), drafts=drafts)]


def _copy(sample_id: str, number: int) -> str:
    """The name under which an engine knows a further answer; no id has a NUL."""
    return f"{sample_id}\0{number}" if number else sample_id


def _check(made: Generation, left: Container[str]) -> None:
    """Refuse what an engine, which may be a plugin, should not have written; it could not be stored."""
    fault = ""
    if made.sample_id not in left:
        fault = "it was not asked for, or is there already"
    elif not isinstance(made.text, str):
        fault = f"{type(made.text).__name__} instead of a string"
    elif not isinstance(made.note, str):
        fault = f"{type(made.note).__name__} instead of a string as its note"
    elif made.finish not in get_args(Finish):
        fault = f"finish '{made.finish}' instead of {' or '.join(get_args(Finish))}"
    elif not isfinite(made.seconds):
        fault = f"{made.seconds} seconds"
    if fault:
        raise ModelError(f"the engine returned an invalid result for sample '{made.sample_id}': {fault}")


def _read(made: Generation, adapter: Adapter, prompt: Prompt) -> Output:
    try:
        summary = adapter.parse(made)
    except Exception as error:
        where = f"the adapter cannot parse the output for sample '{made.sample_id}'"
        raise ModelError(f"{where}: {type(error).__name__}: {error}") from error
    if not isinstance(summary, str):
        found = type(summary).__name__
        raise ModelError(f"the adapter returned {found} instead of a string for sample '{made.sample_id}'")
    return Output(made, repaired(summary), prompt.trimmed_turns, prompt.trimmed_chars, shown=prompt.shown)


def build_decoding(spec: RunSpec, plugins: Plugins) -> Decoding | None:
    """The decoding strategy of a run, its parameters checked; None for a control."""
    if spec.decoding is None:
        return None
    strategy = plugins.get("decoding", spec.decoding.strategy)
    return strategy(strategy.Params(**spec.decoding.params), spec.seed)


def build_adapter(spec: RunSpec, plugins: Plugins, loaded: Loaded, decoding: Decoding | None) -> Adapter:
    """The adapter of a run, with the room its prompts have in this checkpoint.

    Raises:
        ModelError: the checkpoint is of another kind than the adapter.
    """
    from dsum_bench.adapters.build import build

    adapter_class = plugins.get("adapter", spec.model.adapter)
    reason = adapter_class.refuses(loaded.config) if loaded.config else None
    if reason:
        raise ModelError(f"adapter '{spec.model.adapter}' does not fit its checkpoint: {reason}")
    context = AdapterContext(
        model=spec.model,
        prompt=spec.prompt,
        prompt_format=spec.prompt_format,
        language=spec.language,
        tokenizer=loaded.tokenizer,
        max_prompt_tokens=_room(spec, loaded, adapter_class.architecture == "decoder", decoding),
    )
    return build(plugins, context)


def _room(spec: RunSpec, loaded: Loaded, shared: bool, decoding: Decoding | None) -> int | None:
    """Tokens a prompt may have: a decoder's sequence also holds the new tokens, an encoder's does not."""
    new = int(str(decoding.config()["max_new_tokens"])) if decoding and shared else 0
    limits = [spec.model.max_prompt_tokens, loaded.max_tokens - new if loaded.max_tokens else None]
    return min((limit for limit in limits if limit is not None), default=None)
