"""``python -m benchmarks.training_faults``: trainings killed at random moments, their checkpoints damaged.

Each kind of training is run once unbroken. Then it is given again and again while its command or worker is killed
(SIGKILL) at a random moment; half of the times, a file of a checkpoint is cut, emptied or deleted afterwards. Once it
ends, its weights must be those of the unbroken run, bit by bit.
"""

from __future__ import annotations

import json
import os
import random
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, fields
from pathlib import Path
from time import sleep
from typing import Any, Literal

import click

Kind = Literal["decoder", "encoder-decoder"]
KINDS: tuple[Kind, ...] = ("decoder", "encoder-decoder")
ROWS = 32
REGISTRY = """
[models.decoder]
source = "./decoder"
adapter = "chat"
prompt = "short"
recipe = "lora"
[models.encoder-decoder]
source = "./encoder-decoder"
adapter = "encoder_decoder"
recipe = "full"
[prompts.short]
user = "{dialogue}"
[datasets.rows]
format = "jsonl"
path = "{split}.jsonl"
"""
SETTINGS = ("max_tokens=96", "batch=2", "accumulate=2", "lr=0.01", "epochs=8", "save_steps=3", "eval_rouge=2")
STEPS = 64
"""Updates of such a training."""


@dataclass(slots=True)
class Campaign:
    """What one campaign saw.

    commands, workers: killed. damaged: checkpoints damaged. told: of those, told in the output of the next attempt that
    looked. resumed: attempts that went on from a checkpoint. ended: runs that came to their end; equal: of those, with
    the weights of the unbroken run.
    """

    kind: str
    commands: int = 0
    workers: int = 0
    damaged: int = 0
    told: int = 0
    resumed: int = 0
    ended: int = 0
    equal: int = 0

    @property
    def kills(self) -> int:
        return self.commands + self.workers


def prepare(folder: Path) -> None:
    """Two small random checkpoints, rows and a registry."""
    import torch
    from transformers import BartConfig, BartForConditionalGeneration, LlamaConfig, LlamaForCausalLM

    from dsum_bench.testing.making import CHATML, byte_tokenizer

    rows = [{"id": str(i), "dialogue": f"#Person1#: 네 {i}.", "summary": f"{i}번입니다."} for i in range(ROWS)]
    for split, count in (("train", ROWS), ("dev", 4)):
        lines = (json.dumps(row, ensure_ascii=False) + "\n" for row in rows[:count])
        (folder / f"{split}.jsonl").write_text("".join(lines), encoding="utf-8")
    (folder / "registry.toml").write_text(REGISTRY, encoding="utf-8")
    tokens = byte_tokenizer(CHATML, more=("<pad>",))
    tokens.pad_token = "<pad>"
    ends = {name: getattr(tokens, name) for name in ("pad_token_id", "bos_token_id", "eos_token_id")}
    torch.manual_seed(1)
    llama = LlamaForCausalLM(
        LlamaConfig(vocab_size=len(tokens), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
                    num_attention_heads=4, initializer_range=0.5, **ends)
    )  # fmt: skip
    layers = {f"{side}_{what}": n for side in ("encoder", "decoder") for what, n in
              (("layers", 2), ("attention_heads", 4), ("ffn_dim", 64))}  # fmt: skip
    bart = BartForConditionalGeneration(
        BartConfig(vocab_size=len(tokens), d_model=32, init_std=0.5, max_position_embeddings=256,
                   forced_eos_token_id=None, decoder_start_token_id=tokens.eos_token_id, **layers, **ends)
    )  # fmt: skip
    for name, network in (("decoder", llama), ("encoder-decoder", bart)):
        network.save_pretrained(folder / name)
        tokens.save_pretrained(folder / name)


def campaign(folder: Path, kind: Kind, kills: int, draw: random.Random, tell: Callable[[str], None]) -> Campaign:
    """Kill trainings of a kind until there are that many kills, and let the last one come to its end.

    folder: as ``prepare`` left it.

    Raises:
        RuntimeError: an attempt that was not killed failed, or its weights differ.
    """
    seen = Campaign(kind)
    whole = Attempt(folder, kind, "whole")
    whole.process.wait()
    if whole.process.returncode:
        raise RuntimeError(whole.output())
    while True:
        name = f"broken{seen.ended}"
        attempt = Attempt(folder, kind, name)
        killed = seen.kills < kills and attempt.kill_at_random(draw, seen)
        if not killed:
            attempt.process.wait()
        _count(attempt, seen)
        if killed:
            attempt.forget_curve()
            if draw.random() < 0.5:
                seen.damaged += _damage(folder / f"results/training/{kind}@{name}/checkpoints", draw)
            tell(f"{kind}: {seen.kills} of {kills} kills")
            continue
        if attempt.process.returncode:
            raise RuntimeError(attempt.output())
        seen.ended += 1
        seen.equal += _equal(folder, kind, name)
        if seen.kills >= kills:
            return seen


class Attempt:
    """One call of the command."""

    def __init__(self, folder: Path, kind: Kind, name: str) -> None:
        self.log = folder / f"{name}.txt"
        self.database, self.run = folder / "results/dsum.db", f"{kind}@{name}"
        options = [part for setting in SETTINGS for part in ("--set", setting)]
        command = [sys.executable, "-m", "dsum_bench", "finetune", kind, "--dataset", "rows", "--name", name,
                   "--no-screen", "--no-probe", "--dev-limit", "4", *options]  # fmt: skip
        environment = {"COLUMNS": "120", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"}
        with self.log.open("w", encoding="utf-8") as out:
            self.process = subprocess.Popen(
                command, cwd=folder, env=os.environ | environment, stdout=out, stderr=subprocess.STDOUT
            )

    def output(self) -> str:
        return self.log.read_text(encoding="utf-8")

    def step(self) -> int:
        """The last update that this attempt has told of."""
        sql = "select coalesce(max(step), 0) from training_log where training_id = ?"
        return self._database(sql)[0][0] if self.database.exists() else 0

    def forget_curve(self) -> None:
        """Take the curve out of the results, so that what is there next is of the next attempt."""
        self._database("delete from training_log where training_id = ?")

    def _database(self, sql: str) -> list[tuple[int]]:
        with closing(sqlite3.connect(self.database, timeout=60)) as db, db:
            return db.execute(sql, [self.run]).fetchall()

    def kill_at_random(self, draw: random.Random, seen: Campaign) -> bool:
        """Kill the command or its worker a random number of updates after it began or went on, one time in five within
        the first seconds instead; False where it had ended by itself."""
        import psutil

        early = draw.random() < 0.2
        updates = draw.randint(1, STEPS // 3)
        while not early and (began := self.step()) == 0 and self.process.poll() is None:
            sleep(0.02)
        while not early and self.step() < began + updates and self.process.poll() is None:
            sleep(0.02)
        sleep(draw.uniform(0, 10.0 if early else 0.3))
        if self.process.poll() is not None:
            return False
        workers = psutil.Process(self.process.pid).children(recursive=True)
        victim = draw.choice(workers) if workers and draw.random() < 0.5 else None
        if victim is None:
            self.process.kill()
            seen.commands += 1
        else:
            victim.kill()
            seen.workers += 1
        self.process.wait()
        psutil.wait_procs(workers, timeout=600)  # a worker whose command is gone ends with it
        if victim is not None and "Traceback" in self.output():
            raise RuntimeError(self.output())
        return True


def _count(attempt: Attempt, seen: Campaign) -> None:
    text = attempt.output()
    seen.told += text.count("is damaged")
    seen.resumed += "resuming at step" in text


def _damage(folder: Path, draw: random.Random) -> int:
    """Cut, empty or delete a file of a checkpoint, more often of the newest; how many were damaged."""
    from dsum_bench.training import checkpoints

    found = [f for f in checkpoints.all_of(folder) if (f / checkpoints.MANIFEST).is_file()]
    if not found:
        return 0
    chosen = found[0] if draw.random() < 0.7 else draw.choice(found)
    file = draw.choice(sorted(f for f in chosen.iterdir() if f.is_file() and f.stat().st_size))
    how = draw.choice(["cut", "emptied", "deleted"])
    if how == "deleted":
        file.unlink()
    else:
        with file.open("r+b") as opened:
            opened.truncate(file.stat().st_size // 2 if how == "cut" else 0)
    return 1


def _equal(folder: Path, kind: Kind, name: str) -> bool:
    import torch
    from safetensors.torch import load_file

    found: list[dict[str, Any]] = []
    for run in ("whole", name):
        (file,) = (folder / f"results/models/{kind}@{run}").glob("*model.safetensors")
        found.append(load_file(file))
    whole, broken = found
    return whole.keys() == broken.keys() and all(torch.equal(whole[k], broken[k]) for k in whole)


def table(rows: Sequence[Campaign]) -> str:
    """Markdown."""
    heads = ["training", "commands killed", "workers killed", "checkpoints damaged", "damage told", "resumed",
             "came to the end", "weights equal"]  # fmt: skip
    lines = ["| " + " | ".join(heads) + " |", "|---|" + "---:|" * (len(heads) - 1)]
    lines += ["| " + " | ".join(str(getattr(row, f.name)) for f in fields(row)) + " |" for row in rows]
    return "\n".join(lines)


@click.command()
@click.option("--kills", default=30, show_default=True, help="SIGKILLs, shared by the kinds of training.")
@click.option("--seed", default=1, show_default=True)
@click.option("--out", type=click.Path(path_type=Path), help="Folder to write training-faults.md into.")
def main(kills: int, seed: int, out: Path | None) -> None:
    """Kill trainings at random moments, damage their checkpoints, and compare the weights they end with."""
    draw, rows = random.Random(seed), []
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        prepare(folder)
        for kind in KINDS:
            rows.append(campaign(folder, kind, kills // len(KINDS), draw, lambda text: click.echo(text, err=True)))
    text = (
        "# Trainings that are killed\n\n"
        f"    python -m benchmarks.training_faults --kills {kills} --seed {seed} --out results/reference\n\n"
        f"Small random networks on the CPU, {STEPS} updates, a checkpoint every 3 and after every epoch, the best "
        f"weights kept by ROUGE. SIGKILL hits the command or its worker after 1 to {STEPS // 3} updates, or within ten "
        "seconds; half of the times, a random file of a checkpoint is then cut, emptied or deleted. The same command "
        "follows. A checkpoint without its list of files counts as broken off and is passed over without a word; "
        "damage that a kill before the check hides, or that hits a checkpoint that nobody has to read, is not told. "
        "*Weights equal*: runs that ended with the weights of an unbroken run, bit by bit.\n\n" + table(rows) + "\n"
    )
    click.echo(text)
    if out:
        out.mkdir(parents=True, exist_ok=True)
        (out / "training-faults.md").write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
