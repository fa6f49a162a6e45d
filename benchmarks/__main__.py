"""``python -m benchmarks [PART ...]``: run comparisons and write their table."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import click

PARTS = ("scoring", "startup", "store", "script", "training", "screening", "report", "scale")
ON_GPU = "gpu"


@click.command()
@click.argument("parts", nargs=-1, type=click.Choice((*PARTS, ON_GPU)))
@click.option("--data", type=click.Path(path_type=Path, exists=True), help="JSON lines with id or fname, and dialogue.")
@click.option("--count", default=64, show_default=True, help="Dialogues to screen.")
@click.option("--repeats", default=3, show_default=True, help="Rounds of every comparison.")
@click.option("--threads", default=2, show_default=True, help="Threads for torch.")
@click.option("--gpu", is_flag=True, help="The part gpu too: 3B and 8B models on a GPU.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder to write PART.md into.")
def main(
    parts: tuple[str, ...], data: Path | None, count: int, repeats: int, threads: int, gpu: bool, out: Path | None
) -> None:
    """Compare dsum-bench with what people would run instead, part by part; all parts without PART."""
    import importlib

    import torch

    from benchmarks.measure import machine, table

    torch.set_num_threads(threads)
    rows_file = data or Path(__file__).parents[1] / "dsum_bench" / "datasets" / "samples_ko" / "train.jsonl"
    for part in dict.fromkeys((*(parts or PARTS), *((ON_GPU,) if gpu else ()))):
        click.echo(f"{part}:")
        if part == ON_GPU:
            run_on_gpu(data, out)
            continue
        rows, remarks = importlib.import_module(f"benchmarks.{part}").run(rows_file, count, repeats)
        text = "\n\n".join(
            [
                f"# Benchmark: {part}",
                f"    python -m benchmarks {part} --count {count} --repeats {repeats} --threads {threads}"
                + (" --data FILE" if data else ""),
                f"{machine(threads)}."
                + (" Medians of interleaved rounds; the ratios of the rounds lie in the range given." if rows else ""),
                *([table(rows)] if rows else []),
                *remarks,
            ]
        )
        click.echo(text)
        if out:
            out.mkdir(parents=True, exist_ok=True)
            (out / f"bench-{part}.md").write_text(text + "\n", encoding="utf-8")


def run_on_gpu(data: Path | None, out: Path | None) -> None:
    """The part gpu by its own command, with its own counts: it writes its page as it goes."""
    options = [*(["--data", str(data)] if data else []), *(["--out", str(out)] if out else [])]
    subprocess.run([sys.executable, "-m", "benchmarks.gpu", *options], check=False)


if __name__ == "__main__":
    main()
