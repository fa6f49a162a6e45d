"""A report in Markdown, for an issue or a README."""

from __future__ import annotations

import re
from collections.abc import Iterator

from dsum_bench.figures import params, score, seconds
from dsum_bench.report.content import BoardContent, Content
from dsum_bench.report.page import cite, lead
from dsum_bench.report.text import visible
from dsum_bench.report.words import say


def markdown(content: Content) -> str:
    """The boards of a report with what they say, what the checks found, and how to cite them."""
    return "\n".join(line for board in content.boards for line in _board(board))


def _board(content: BoardContent) -> Iterator[str]:
    yield f"## {_plain(content.title)}, {_plain(content.board.metric)}\n"
    if content.runs:
        yield " ".join(_plain(say(key, *values)) for key, values in lead(content)) + "\n"
        yield from _table(content)
        yield f"\nMetric: `{visible(content.board.signature, 400).replace('`', '')}`"
        if content.control is not None:
            yield "\n\\* control: runs no model"
        found = [(run, f) for run in content.runs for f in run.row.findings if f.level != "note"]
        if found:
            yield "\nFindings:\n"
            yield from (f"- {_plain(run.label)}: {f.level} {_plain(f.check)}: {_plain(f.text)}" for run, f in found)
        yield f"\n> {_plain(say('cite.text', *cite(content)))}\n"
    if content.board.others:
        yield "Not ranked:\n"
        yield from (f"- {_plain(r.model)}: {r.status}. {_plain(r.reason)}" for r in content.board.others)
        yield ""


def _table(content: BoardContent) -> Iterator[str]:
    measures = [content.measure, *(m for m in content.board.measures if m != content.measure)]
    yield f"| # | Model | How | {' | '.join(_plain(m) for m in measures)} | 95 % interval | s/sample | Params |"
    yield f"|--:|---|---|{'--:|' * (len(measures) + 3)}"
    for run in content.runs:
        row = run.row
        ends = run.interval(content.measure)
        control = "\\*" if row.kind == "control" else ""
        yield " | ".join(
            [
                f"| {run.place.rank}{control}",
                _plain(row.model),
                _plain(run.place.how),
                *(score(row.means.get(m)) for m in measures),
                f"{score(ends[0])} to {score(ends[1])}" if ends else "",
                seconds(row.seconds_per_sample),
                f"{params(row.params)} |",
            ]
        )


def _plain(text: str) -> str:
    """text on one line, with what Markdown and HTML would interpret escaped."""
    return re.sub(r"([\\`*_\[\]<>|#~&])", r"\\\1", visible(text, 400))
