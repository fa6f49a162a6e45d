"""Pages and plots, from the results database alone."""

from __future__ import annotations

from pathlib import Path
from threading import Thread

from dsum_bench.errors import UserError

__all__ = ["markdown_report", "write_report"]


def write_report(
    database: Path,
    output: Path,
    dialogues: bool = True,
    metric: str | None = None,
    dataset: str | None = None,
    split: str | None = None,
) -> Path:
    """Write one HTML file that shows everything in a results database and needs nothing else.

    Args:
        output: the file, or a folder, which gets ``report.html``.
        dialogues: False leaves out dialogues, references, topics, summaries and worked examples of prompts.

    Raises:
        UserError: there are no results, or the file cannot be written.
    """
    from dsum_bench.report.content import gather
    from dsum_bench.report.page import bundle, render

    # Making the bundle of chart scripts takes longer than reading most databases, and waits for neither.
    early = Thread(target=bundle, daemon=True)
    early.start()
    content = gather(database, metric, dataset, split)
    early.join()
    file = output / "report.html" if output.is_dir() else output
    page = render(content, made=made_now(), dialogues=dialogues)
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(page, encoding="utf-8", errors="replace")
    except OSError as error:
        raise UserError(f"{file} cannot be written: {error.strerror or error}") from None
    return file


def markdown_report(
    database: Path, metric: str | None = None, dataset: str | None = None, split: str | None = None
) -> str:
    """The boards of a results database as Markdown. Raises UserError where there are no results."""
    from dsum_bench.report.content import gather
    from dsum_bench.report.markdown import markdown

    return markdown(gather(database, metric, dataset, split))


def made_now() -> str:
    """The time as a page tells it, in the zone of this machine."""
    from datetime import datetime

    return datetime.now().astimezone().strftime("%Y-%m-%d %H:%M %Z")
