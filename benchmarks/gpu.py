"""``python -m benchmarks.gpu``: the shapes of Llama-3.2-3B and Llama-3-8B on a GPU, with random weights.

Random weights write nonsense at the speed of real ones. Their end token is never the likeliest, so all outputs have
the same length. Each part runs in a process of its own (``benchmarks.gpu_parts``), with a limit on its time; what it
has found is written at once, so that a part that fails or a machine that goes away costs only what was to come.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from importlib.metadata import version
from pathlib import Path
from threading import Timer
from time import monotonic
from typing import Any

import click

from benchmarks.measure import Row, machine, table
from benchmarks.script import TOKENIZER

COMMON = {"vocab_size": 128256, "max_position_embeddings": 8192, "num_key_value_heads": 8,
          "rope_parameters": {"rope_type": "default", "rope_theta": 500000.0}}  # fmt: skip
SHAPES: dict[str, dict[str, Any]] = {
    "llama32-3b": COMMON | {"hidden_size": 3072, "intermediate_size": 8192, "num_hidden_layers": 28,
                            "num_attention_heads": 24, "head_dim": 128, "tie_word_embeddings": True},
    "llama3-8b": COMMON | {"hidden_size": 4096, "intermediate_size": 14336, "num_hidden_layers": 32,
                           "num_attention_heads": 32, "head_dim": 128},
    "tiny": COMMON | {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
                      "num_key_value_heads": 2, "head_dim": 16, "tie_word_embeddings": True},
}  # fmt: skip
"""tiny: to see on a CPU that the parts run; its figures mean nothing."""
SIZES = ("llama32-3b", "llama3-8b")
WEIGHTS = "weights"
PARTS = ("write-none", "train-qlora", "train-lora", "write-nf4")
"""In the order of what one would miss most. train-lora is left out for 8B."""
MORE = ("train-lora-liger", "train-qlora-liger")
"""Where they are asked for: the package liger-kernel must be there."""
REPORTED = "@"
"""What a line that reports something begins with."""

Found = dict[str, Any]


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True), help="JSON lines with dialogue and summary.")
@click.option("--shape", "shapes", multiple=True, type=click.Choice(tuple(SHAPES)), help="Both sizes without it.")
@click.option(
    "--part", "parts", multiple=True, type=click.Choice((*PARTS, *MORE)), help="All without it, but for liger."
)
@click.option("--count", default=32, show_default=True, help="Dialogues to screen.")
@click.option("--repeats", default=2, show_default=True, help="Rounds of every comparison.")
@click.option("--limit", default=150.0, show_default=True, help="Seconds that a part may take.")
@click.option("--seconds", default=570.0, show_default=True, help="Seconds that all may take together.")
@click.option("--keep", is_flag=True, help="Keep the weights in the temporary folder for another call.")
@click.option("--out", type=click.Path(path_type=Path), help="Folder to write bench-gpu.md, .json and .log into.")
def main(
    data: Path | None,
    shapes: tuple[str, ...],
    parts: tuple[str, ...],
    count: int,
    repeats: int,
    limit: float,
    seconds: float,
    keep: bool,
    out: Path | None,
) -> None:
    """Writing and training on a GPU, against what people would run instead, and memory planned against measured."""
    import shutil

    if TOKENIZER not in os.environ:
        raise click.ClickException(f"set {TOKENIZER} to a folder with Llama 3's tokenizer")
    rows_file = data or Path(__file__).parents[1] / "dsum_bench" / "datasets" / "samples_ko" / "train.jsonl"
    place = Path(tempfile.gettempdir()) / "dsum-bench-gpu"
    page = Page(out, f"python -m benchmarks.gpu --count {count} --repeats {repeats}" + (" --data FILE" if data else ""))
    end = monotonic() + seconds
    for shape in shapes or SIZES:
        folder = place / shape
        for part in (WEIGHTS, *(parts or PARTS)):
            if (shape, part) == ("llama3-8b", "train-lora"):
                continue
            left = min(limit, end - monotonic())
            if left < 5:
                page.add({"shape": shape, "part": part, "kind": "failed", "text": "there was no time left"})
                continue
            command = ["benchmarks.gpu_parts", part, shape, str(folder), str(rows_file), str(count), str(repeats)]
            follow(command, left, lambda found, s=shape, p=part: page.add({"shape": s, "part": p, **found}), page.log)  # type: ignore[misc]
        if not keep:
            shutil.rmtree(folder, ignore_errors=True)
    click.echo(page.text())


class Page:
    """What was found so far, written anew after each finding."""

    def __init__(self, out: Path | None, command: str) -> None:
        self.out = out
        self.command = command
        self.found: list[Found] = []
        if out:
            out.mkdir(parents=True, exist_ok=True)

    def add(self, found: Found) -> None:
        """Keep a finding. kind: ``row`` of the table, ``remark`` or ``failed``."""
        self.found.append(found)
        click.echo(f"{found['shape']}, {found['part']}: {found['kind']} {found.get('text', '')}", err=True)
        if self.out:
            raw = json.dumps(self.found, indent=1, ensure_ascii=False)
            (self.out / "bench-gpu.json").write_text(raw + "\n", encoding="utf-8")
            (self.out / "bench-gpu.md").write_text(self.text(), encoding="utf-8")

    def log(self, line: str) -> None:
        """Keep what a part printed."""
        click.echo(line, err=True)
        if self.out:
            with (self.out / "bench-gpu.log").open("a", encoding="utf-8") as file:
                file.write(line + "\n")

    def text(self) -> str:
        """The page as Markdown."""
        rows = [
            Row(f["what"], f["peer"], f["ours"], f["theirs"], f.get("note", ""))
            for f in self.found
            if f["kind"] == "row"
        ]
        packages = ", ".join(f"{name} {version(name)}" for name in ("peft", "bitsandbytes"))
        parts = [
            "# Benchmark: gpu",
            f"    {self.command}",
            f"{machine(os.cpu_count() or 1)}, {packages}. Random weights. Seconds are medians of interleaved rounds; "
            "the ratios of the rounds lie in the range given.",
            *([table(rows)] if rows else []),
            *listed([f["text"] for f in self.found if f["kind"] == "remark"]),
            *listed([f"Failed: {f['shape']}, {f['part']}: {f['text']}" for f in self.found if f["kind"] == "failed"]),
        ]
        return "\n\n".join(parts) + "\n"


def listed(lines: Sequence[str]) -> list[str]:
    """One paragraph of bullet points; none without lines."""
    return ["\n".join(f"- {line}" for line in lines)] if lines else []


def follow(command: Sequence[str], limit: float, found: Callable[[Found], None], log: Callable[[str], None]) -> None:
    """Run a module, giving on what it reports and what it prints; after ``limit`` seconds end all it has started."""
    process = subprocess.Popen(
        [sys.executable, "-u", "-m", *command],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )

    def stop() -> None:
        with suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)

    timer = Timer(limit, stop)
    timer.start()
    assert process.stdout is not None
    for line in process.stdout:
        if line.startswith(REPORTED):
            with suppress(json.JSONDecodeError):
                found(json.loads(line[len(REPORTED) :]))
                continue
        log(line.rstrip("\n"))
    code = process.wait()
    if timer.is_alive():
        timer.cancel()
        if code:
            found({"kind": "failed", "text": f"its process ended with code {code}"})
    else:
        found({"kind": "failed", "text": f"ended after {limit:.0f} seconds"})


def save(shape: Mapping[str, Any], tokenizer: Path, folder: Path, device: str) -> None:
    """A checkpoint of this shape in bfloat16, with a real tokenizer beside it."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    words = AutoTokenizer.from_pretrained(tokenizer)
    words.save_pretrained(folder)
    config = LlamaConfig(**shape, bos_token_id=words.bos_token_id, eos_token_id=words.eos_token_id)
    torch.manual_seed(0)
    with torch.device(device):
        network = LlamaForCausalLM._from_config(config, dtype=torch.bfloat16)
    with torch.no_grad():
        # Logits of special tokens are then small, below the largest of all others. Not 0: where the table is the
        # input's too, a zero vector stays zero in every layer, and each norm multiplies its gradient by 1 / sqrt(eps).
        network.get_output_embeddings().weight[words.vocab_size :] *= 0.1
    network.save_pretrained(folder)


if __name__ == "__main__":
    main()
