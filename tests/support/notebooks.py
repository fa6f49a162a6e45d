"""The tutorial's notebooks: run them, keep their outputs, and keep the Korean edition in step with the English one.

Run as a program, this file runs the English notebook in an empty folder, stores its outputs, and copies code and
outputs into the Korean edition, which keeps its own text. A test runs the same cells and compares.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import Any

from commands import patience

TUTORIAL = Path(__file__).parents[2] / "docs" / "tutorial"
ENGLISH, KOREAN = TUTORIAL / "notebook.ipynb", TUTORIAL / "notebook.ko.ipynb"
REPEATABLE = "repeatable"
"""Tag of a cell whose output is the same on every machine."""


def read(file: Path) -> Any:
    """A notebook, checked against the format."""
    import nbformat

    notebook = nbformat.read(file, as_version=4)
    nbformat.validate(notebook)
    return notebook


def code(notebook: Any) -> list[Any]:
    """The code cells."""
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def execute(notebook: Any, folder: Path) -> Any:
    """The notebook, run in a folder; its outputs replace those that it had.

    Raises:
        CellExecutionError: a cell failed; the message has its traceback.
    """
    from nbclient import NotebookClient

    settings = {"timeout": int(patience()), "kernel_name": "python3", "record_timing": False}
    return NotebookClient(notebook, resources={"metadata": {"path": str(folder)}}, **settings).execute()


def shown(cell: Any) -> list[str]:
    """What a cell printed and the text of what it returned."""
    outputs = (output.get("text") or output.get("data", {}).get("text/plain", "") for output in without_stderr(cell))
    return [text for text in outputs if text]


def without_stderr(cell: Any) -> list[Any]:
    """Outputs of a cell but for what libraries say of this machine, such as that ipywidgets is not installed."""
    return [output for output in cell.outputs if output.get("name") != "stderr"]


def write(notebook: Any, file: Path) -> None:
    """Store a notebook, without the version of the Python that ran it."""
    import nbformat

    notebook.metadata = {"kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"}}
    nbformat.write(notebook, file)


def main() -> None:
    english, korean = read(ENGLISH), read(KOREAN)
    with tempfile.TemporaryDirectory() as folder:
        execute(english, Path(folder))
    for cell in code(english):
        cell.outputs = without_stderr(cell)
    for cell, ours in zip(code(korean), code(english), strict=True):
        cell.update(source=ours.source, outputs=ours.outputs, execution_count=ours.execution_count)
        cell.metadata = ours.metadata
    write(english, ENGLISH)
    write(korean, KOREAN)


if __name__ == "__main__":
    main()
