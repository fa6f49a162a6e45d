"""The report as one HTML file: tables written here, data compressed inside, scripts allowed by their hash alone."""

from __future__ import annotations

import base64
import gzip
import hashlib
import json
import os
import sys
from array import array
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, fields
from functools import cache
from importlib.metadata import version
from importlib.resources import files
from typing import Any

from dsum_bench import __version__
from dsum_bench.figures import gibibytes, moment, params, score, seconds
from dsum_bench.report.charts import CATEGORY, DARK, LIGHT, specs
from dsum_bench.report.content import BoardContent, Content, Texts, turns_of
from dsum_bench.report.facts import facts, prompt_of
from dsum_bench.report.text import visible
from dsum_bench.report.words import WORDS, say
from dsum_bench.store.training import Training

SCRIPTS = ("page.js", "boards.js", "charts.js", "samples.js")
LEVEL = 6
"""Of the compression: the next one takes half as long again for 2 %."""


def render(content: Content, made: str, dialogues: bool = True, live: str | None = None) -> str:
    """The page.

    made: when, for its head. dialogues: False leaves out dialogues, references, topics, and all that models wrote or
    were shown as examples. live: the page is served and may ask its server how far things are; a stamp of the results
        that it was made from.
    """
    from markupsafe import Markup

    scripts = [bundle(), *(_source(name) for name in SCRIPTS), *([_source("live.js")] if live is not None else [])]
    style = _source("report.css")
    blocks = {"page": _packed(_json(_page(content, dialogues)))}
    for texts in content.texts:
        blocks[texts.key] = _packed(_json(_texts(texts, dialogues)))
    for board in content.boards:
        blocks[board.key] = _packed(_scores(board))
    template = _environment().get_template("report.html.j2")
    page: str = template.render(
        content=content,
        made=made,
        version=__version__,
        dialogues=dialogues,
        live=live,
        csp=policy(scripts, style, live is not None),
        style=Markup(style),
        scripts=[Markup(script) for script in scripts],
        blocks=blocks,
    )
    return page


def render_vote() -> str:
    """The page of a blind vote."""
    from markupsafe import Markup

    script, style = _source("vote.js"), _source("report.css")
    page: str = (
        _environment()
        .get_template("vote.html.j2")
        .render(csp=policy([script], style, live=True), style=Markup(style), script=Markup(script))
    )
    return page


def policy(scripts: Sequence[str], style: str, live: bool = False) -> str:
    """The content security policy: these scripts and this style, nothing from elsewhere, no HTML made by script."""
    allowed = " ".join(f"'sha256-{_hash(script)}'" for script in scripts)
    asked = "'self'" if live else "'none'"
    return (
        f"default-src 'none'; img-src data:; script-src {allowed}; style-src 'sha256-{_hash(style)}'; "
        f"connect-src {asked}; base-uri 'none'; form-action 'none'; "
        "require-trusted-types-for 'script'; trusted-types default"
    )


@cache
def bundle() -> str:
    """Vega, Vega-Lite and Vega-Embed in one script, as vl-convert ships them.

    Made once a version, which takes two seconds, and kept in the user's cache.
    """
    import vl_convert
    from platformdirs import user_cache_path

    kept = user_cache_path("dsum-bench") / f"charts-{version('vl-convert-python')}.js"
    try:
        return kept.read_text(encoding="utf-8")
    except (OSError, ValueError):
        pass
    # In a function of its own: its global names would be in the way of everybody else's.
    bundled = str(vl_convert.javascript_bundle())  # type: ignore[call-arg]  # the snippet may be left out
    made = "(() => {" + bundled.replace("</script", "<\\/script") + "})();\n"
    with suppress(OSError):  # a cache that cannot be written costs time only
        kept.parent.mkdir(parents=True, exist_ok=True)
        half = kept.with_suffix(f".{os.getpid()}")
        half.write_text(made, encoding="utf-8", newline="\n")
        half.replace(kept)
    return made


# -- data -----------------------------------------------------------------------------------------------------


def _page(content: Content, dialogues: bool) -> dict[str, Any]:
    return {
        "words": WORDS,
        "charts": specs(),
        "themes": {"light": LIGHT, "dark": DARK},
        "category": CATEGORY,
        "labels": content.labels,
        "boards": {board.key: _board(board, dialogues) for board in content.boards},
        "trainings": [_training(t) for t in content.trainings],
    }


def _board(content: BoardContent, dialogues: bool) -> dict[str, Any]:
    board = content.board
    return {
        "texts": content.texts,
        "dataset": board.dataset_fingerprint,
        "metric": board.metric,
        "measure": content.measure,
        "measures": board.measures,
        "control": content.control and content.control.row.run_id,
        "runs": [_run(run, content.measure) for run in content.runs],
        "spreads": [{"run": run, "value": value, **asdict(s)} for (run, value), s in content.spreads.items()],
        "topics": [asdict(group) for group in content.topics] if dialogues else [],
        "lengths": [asdict(group) for group in content.lengths],
        "matrix": [asdict(pair) for pair in content.pairs],
    }


def _run(run: Any, measure: str) -> dict[str, Any]:
    low, high = run.interval(measure) or (None, None)
    return {
        "id": run.row.run_id,
        "label": run.label,
        "kind": run.row.kind,
        "mean": run.row.means.get(measure),
        "low": low,
        "high": high,
        "costs": run.costs,
        "front": sorted(run.front),
        "findings": [{"check": f.check, "level": f.level, "mark": f.mark} for f in run.row.findings],
    }


def _training(training: Any) -> dict[str, Any]:
    return {"id": visible(training.id, 80), "curve": training.curve}


def _texts(texts: Texts, dialogues: bool) -> dict[str, Any]:
    """Everything of the samples by columns. A text that is left out is null."""
    there = texts.samples if dialogues else [None] * len(texts.ids)
    columns: dict[str, Any] = {
        "ids": texts.ids,
        "topics": [s and s.topic for s in there],
        "characters": [s and s.characters for s in texts.samples],
        "turns": [s and s.turns for s in texts.samples],
        "dialogues": [s and turns_of(s) for s in there],
        "references": [s.references if s else () for s in there],
        "runs": {},
    }
    for run, outputs in texts.outputs.items():
        found = {f.name: getattr(outputs, f.name) for f in fields(outputs)}
        found["empty"] = [s is not None and not s.strip() for s in outputs.summary]
        if not dialogues:
            found |= {"summary": None, "output": None, "note": None}
        columns["runs"][run] = found
    return columns


def _scores(content: BoardContent) -> bytes:
    """Float64, little endian, of shape (runs, measures, samples); NaN where a sample has no score."""
    values = array("d")
    for run in content.runs:
        for measure in content.board.measures:
            values.extend(content.scores[run.row.run_id][measure])
    if sys.byteorder == "big":
        values.byteswap()
    return values.tobytes()


def _json(value: Any) -> bytes:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"), default=_plain).encode("utf-8", "replace")


def _plain(value: Any) -> Any:
    return list(value) if not isinstance(value, Mapping) else dict(value)


def _packed(data: bytes) -> str:
    return base64.b64encode(gzip.compress(data, LEVEL, mtime=0)).decode("ascii")


def _hash(text: str) -> str:
    return base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")


# -- the template ---------------------------------------------------------------------------------------------


@cache
def _source(name: str) -> str:
    return (files("dsum_bench.report") / "templates" / name).read_text(encoding="utf-8").replace("\r\n", "\n")


@cache
def _environment() -> Any:
    from jinja2 import Environment, FunctionLoader, StrictUndefined

    env = Environment(
        autoescape=True, loader=FunctionLoader(_source), undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    env.globals |= {
        "t": _translated, "word": say, "facts": facts, "prompt_of": prompt_of, "lead": lead, "cite": cite,
        "cells": cells, "varied": varied, "reached_by": reached_by,
    }  # fmt: skip
    env.filters |= {
        "score": score, "seconds": seconds, "gibibytes": gibibytes, "params": params, "moment": moment,
        "visible": visible, "signed": lambda v: f"{v:+.2f}",
    }  # fmt: skip
    return env


def _translated(key: str, *values: object) -> Any:
    """A string of ``words`` that the page can put into another language."""
    from markupsafe import Markup

    told = json.dumps([visible(str(v)) for v in values], ensure_ascii=False)
    filled = Markup(' data-a="{}"').format(told) if values else Markup("")
    return Markup('<span data-t="{}"{}>{}</span>').format(key, filled, say(key, *(visible(str(v)) for v in values)))


def lead(content: BoardContent) -> Iterator[tuple[str, list[object]]]:
    """What a board says, in sentences: keys of ``words`` with their values."""
    if not content.runs or not content.measure:
        return
    models = [run for run in content.runs if run.row.kind == "model"]
    first = content.runs[0]
    low, high = first.interval(content.measure) or (None, None)
    mean = first.row.means.get(content.measure)
    if mean is not None and low is not None:
        yield "lead.first", [first.label, score(mean), score(low), score(high)]
    tied = sum(run.place.group == first.place.group for run in content.runs) - 1
    if len(content.runs) > 1:
        yield ("lead.alone", []) if not tied else ("lead.tied1", []) if tied == 1 else ("lead.tied", [tied])
    if content.significance and content.significance.smallest:
        yield "lead.smallest", [content.board.n, score(content.significance.smallest.middle)]
    if content.control is None:
        yield "lead.nocontrol", []
    elif models:
        best = content.control.row.means.get(content.measure, 0.0)
        below = sum(run.row.means.get(content.measure, 0.0) < best for run in models)
        told = [below, len(models), content.control.label, score(best)]
        yield "lead.below" if below else "lead.above", told


def cite(content: BoardContent) -> list[object]:
    """The values of the sentence that cites the first run of a board."""
    first, board = content.runs[0], content.board
    low, high = first.interval(content.measure) or (None, None)
    return [
        first.label, first.row.run_id, f"{board.dataset} {board.split}", content.measure,
        score(first.row.means.get(content.measure)), score(low), score(high), board.n, board.signature, __version__,
    ]  # fmt: skip


def cells(content: BoardContent) -> dict[str, bool]:
    """The columns that have anything to tell on a board -> whether they are shown at first."""
    rows = [run.row for run in content.runs]
    first = {
        "seconds": any(r.seconds_per_sample for r in rows),
        "memory": any(r.peak_memory for r in rows),
        "params": any(r.params for r in rows),
        "findings": any(r.findings for r in rows),
    }
    later = {
        "prompt": any(r.prompt for r in rows),
        "decoding": any(r.decoding for r in rows),
        "dtype": True, "quantization": True, "device": True, "n": True, "trimmed": True, "cut": True, "empty": True,
        "finished": True, "key": True,
    }  # fmt: skip
    return {name: True for name, there in first.items() if there} | {
        name: False for name, there in later.items() if there
    }


def varied(trainings: Sequence[Training]) -> list[str]:
    """The settings in which trainings differ; all of them where there is but one training."""
    names = list(dict.fromkeys(name for t in trainings for name in t.settings))
    if len(trainings) == 1:
        return names
    return [name for name in names if len({str(t.settings.get(name)) for t in trainings}) > 1]


def reached_by(content: Content, training: str) -> float | None:
    """The score that ranks a trained model on the first board where it stands."""
    for board in content.boards:
        for run in board.runs:
            if run.row.model == training:
                return run.row.means.get(board.measure)
    return None
