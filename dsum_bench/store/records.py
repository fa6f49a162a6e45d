"""What the reader hands out: boards, runs and samples."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True)
class FindingRecord:
    """What a protocol check found in a run. level: error, warning or note; mark: its letter on the board.

    signature: of the scores it is about, '' where it is not about scores.
    """

    check: str
    level: str
    mark: str
    text: str
    hit: int
    total: int
    signature: str = ""


@dataclass(frozen=True, slots=True)
class BoardRow:
    """One run on a board.

    dataset, split: as its data were called when it was screened. prompt, decoding: their names; prompt_digest: 4 digits
    over the prompt's texts; decoding_params: what was set of the decoding, defaults included.
    n: samples that are finished, of n_samples. means: measure -> mean over all of them; {} when there are no scores.
    intervals: measure -> low and high end of the mean's 95 % interval, where there is one.
    seconds_per_sample: None before the first sample. peak_memory: bytes, 0 when not measured.
    trimmed, cut, empty: samples whose prompt was trimmed, whose output was ended by its length, whose summary is empty.
    finished: UTC, ISO 8601; when the run ended, or began if it has not.
    findings: of the protocol checks, the gravest first; on a board those that are not about other scores.
    name: what somebody called the run, mostly ''.
    """

    run_id: str
    dataset: str
    split: str
    model: str
    params: int | None
    kind: str
    adapter: str
    treatment: str
    prompt: str | None
    prompt_digest: str
    decoding: str | None
    decoding_params: Mapping[str, Any]
    seed: int
    revision: str | None
    dtype: str
    quantization: str
    device: str
    means: Mapping[str, float]
    n: int
    n_samples: int
    seconds_per_sample: float | None
    peak_memory: int
    trimmed: int
    cut: int
    empty: int
    status: str
    reason: str
    finished: str
    findings: tuple[FindingRecord, ...] = ()
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    name: str = ""


@dataclass(frozen=True, slots=True)
class Board:
    """Runs that may be ranked together: the same dialogues and references, scored by the same signature.

    dataset, split: what the data are called; also: their other names, ``DATASET SPLIT``.
    signature: '' when nothing has been scored yet. measures: in the order they are shown. n: samples of each mean.
    rows: finished runs, unsorted. others: what is not ranked, each with its status and reason.
    """

    dataset: str
    language: str
    split: str
    selection: str
    n: int
    dataset_fingerprint: str
    references_fingerprint: str
    metric: str
    signature: str
    measures: tuple[str, ...]
    rows: tuple[BoardRow, ...]
    others: tuple[BoardRow, ...] = ()
    also: tuple[str, ...] = ()

    @property
    def data(self) -> str:
        """What its data are called: ``DATASET SPLIT``."""
        return f"{self.dataset} {self.split}"


@dataclass(frozen=True, slots=True)
class SignatureScores:
    """Means of one run by one signature; n is the number of samples that have its scores."""

    metric: str
    signature: str
    means: Mapping[str, float]
    n: int
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class AskedPrompt:
    """The exact prompt of one sample: all that the tokenizer was given."""

    sample_id: str
    text: str


@dataclass(frozen=True, slots=True)
class RunRecord:
    """One run in full. spec: its RunSpec as stored. scores: metric, signature, means and n of each signature.
    asked: an example of its prompts, None where none is stored. setup: key of all settings that runs on other samples
    may share, '' where none is stored."""

    row: BoardRow
    dataset: str
    split: str
    selection: str
    spec: Mapping[str, Any]
    scores: tuple[SignatureScores, ...]
    asked: AskedPrompt | None = None
    setup: str = ""


@dataclass(frozen=True, slots=True)
class SampleRecord:
    """One finished sample. output: what the model wrote; summary: what was read from it; scores of one metric.
    note: what its engine noted of it, such as a refusal's words. shown: ids of the examples chosen for its prompt."""

    sample_id: str
    position: int
    output: str
    summary: str
    prompt_tokens: int
    new_tokens: int
    finish: str
    seconds: float
    trimmed_turns: int
    trimmed_chars: int
    note: str = ""
    scores: Mapping[str, float] = field(default_factory=dict)
    shown: tuple[str, ...] = ()
