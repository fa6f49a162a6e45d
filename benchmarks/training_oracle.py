"""``python -m benchmarks.training_oracle``: six updates of every architecture against a loop of a few lines.

The oracle (``plain_loop``) calls each row alone, neither padded nor batched, with torch, peft and bitsandbytes only.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from json import dumps, loads
from pathlib import Path
from typing import Any

import click

from dsum_bench.spec import ModelSpec, Placement, PluginSettings, RecipeSpec, TrainingSpec
from dsum_bench.training.job import CurvePoint, TrainingJob, TrainingPlan
from dsum_bench.training.texts import IGNORED, TrainingText

VOCABULARY, PAD, EOS = 61, 0, 1
ROWS, STEPS, SEED = 8, 6, 42
MINUTES = 30
PEAK = 0.01
WARM = 3
SETTINGS = ((1, 1), (2, 1), (4, 1), (1, 2), (2, 2))
"""accumulate and processes; batch x accumulate x processes is always all rows, so the order of rows does not matter."""

BLOCK: dict[str, Any] = {"hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 2, "num_attention_heads": 4,
         "num_key_value_heads": 2, "head_dim": 16, "initializer_range": 0.2, "max_position_embeddings": 256,
         "pad_token_id": PAD, "bos_token_id": 2, "eos_token_id": EOS, "vocab_size": VOCABULARY}  # fmt: skip
BART: dict[str, Any] = {"vocab_size": VOCABULARY, "d_model": 64, "encoder_layers": 2, "decoder_layers": 2,
        "encoder_attention_heads": 4, "decoder_attention_heads": 4, "encoder_ffn_dim": 128, "decoder_ffn_dim": 128,
        "max_position_embeddings": 128, "init_std": 0.2, "dropout": 0.0, "attention_dropout": 0.0,
        "activation_dropout": 0.0, "pad_token_id": PAD, "bos_token_id": 2, "eos_token_id": EOS,
        "decoder_start_token_id": EOS, "forced_eos_token_id": None}  # fmt: skip
T5: dict[str, Any] = {"vocab_size": VOCABULARY, "d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 2, "num_heads": 4,
      "dropout_rate": 0.0, "pad_token_id": PAD, "eos_token_id": EOS, "decoder_start_token_id": PAD,
      "tie_word_embeddings": False}  # fmt: skip
VISION: dict[str, Any] = {
    "text_config": BLOCK | {"model_type": "gemma3_text"},
    "vision_config": {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2,
                      "image_size": 28, "patch_size": 14},
    "mm_tokens_per_image": 4, "boi_token_index": 50, "eoi_token_index": 51, "image_token_index": 52}  # fmt: skip
FAMILIES: dict[str, tuple[str, str, dict[str, Any]]] = {
    "llama": ("LlamaConfig", "LlamaForCausalLM", BLOCK),
    "qwen2": ("Qwen2Config", "Qwen2ForCausalLM", {k: v for k, v in BLOCK.items() if k != "head_dim"}),
    "qwen3": ("Qwen3Config", "Qwen3ForCausalLM", BLOCK),
    "gemma3": ("Gemma3TextConfig", "Gemma3ForCausalLM", BLOCK),
    "gemma3 with vision": ("Gemma3Config", "Gemma3ForConditionalGeneration", VISION),
    "exaone4": ("Exaone4Config", "Exaone4ForCausalLM", BLOCK | {"sliding_window": 64}),
    "bart": ("BartConfig", "BartForConditionalGeneration", BART),
    "mbart": ("MBartConfig", "MBartForConditionalGeneration", BART),
    "pegasus": ("PegasusConfig", "PegasusForConditionalGeneration", BART),
    "t5": ("T5Config", "T5ForConditionalGeneration", T5),
    "mt5": ("MT5Config", "MT5ForConditionalGeneration", T5),
}
ENCODER_DECODERS = ("bart", "mbart", "pegasus", "t5", "mt5")
RECIPES: dict[str, tuple[str, ...]] = {"full": tuple(FAMILIES), "lora": ("llama", "gemma3", "bart", "t5"),
           "qlora": ("llama", "bart", "t5")}  # fmt: skip

NO_GRADIENT = "k_proj.bias"
"""The same is added to every score of a query, and softmax takes it away: AdamW divides rounding by rounding there."""


@dataclass(frozen=True, slots=True)
class Point:
    """One update. loss: before it, in nats a token; grad_norm: before it is cut; eval_loss: after it."""

    loss: float
    grad_norm: float
    lr: float
    eval_loss: float


def make(folder: Path, family: str) -> Path:
    """A small random checkpoint of a family."""
    import torch
    import transformers

    config_name, name, sizes = FAMILIES[family]
    torch.manual_seed(3)
    getattr(transformers, name)(getattr(transformers, config_name)(**sizes)).save_pretrained(folder)
    return folder


def texts(family: str, count: int, seed: int) -> list[TrainingText]:
    """Rows of different lengths with summaries of very different lengths, so that a mean of means would be seen."""
    draw = random.Random(seed)
    made = []
    for n in range(count):
        prompt = [draw.randrange(3, 50) for _ in range(draw.randrange(4, 24))]
        summary = [*(draw.randrange(3, 50) for _ in range(draw.randrange(1, 16))), EOS]
        if family in ENCODER_DECODERS:
            made.append(TrainingText(str(n), tuple(prompt), tuple(summary)))
        else:
            made.append(TrainingText(str(n), tuple(prompt + summary), (IGNORED,) * len(prompt) + tuple(summary)))
    return made


def plain_loop(
    folder: Path, family: str, recipe: str, smoothing: float = 0.0, **lora: Any
) -> tuple[list[Point], dict[str, Any]]:
    """The oracle: points of the curve, and the trained weights.

    smoothing: of labels, while training. lora: further fields of peft's LoraConfig.
    """
    import torch
    import transformers
    from peft import LoraConfig, get_peft_model

    more: dict[str, Any] = {}
    if recipe == "qlora":
        packed = transformers.BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type="nf4",
                                                 bnb_4bit_use_double_quant=True)  # fmt: skip
        packed.bnb_4bit_compute_dtype = torch.float32
        more = {"quantization_config": packed, "device_map": {"": "cpu"}}
    network = getattr(transformers, FAMILIES[family][1]).from_pretrained(folder, dtype=torch.float32, **more)
    torch.manual_seed(SEED)
    if recipe != "full":
        task = "SEQ_2_SEQ_LM" if family in ENCODER_DECODERS else "CAUSAL_LM"
        config = {"r": 4, "lora_alpha": 8, "target_modules": "all-linear", "task_type": task} | lora
        network = get_peft_model(network, LoraConfig(**config))
    network.train()
    trained = {n: p for n, p in network.named_parameters() if p.requires_grad}
    optimizer = torch.optim.AdamW(trained.values(), lr=PEAK, weight_decay=0.0)

    def nll(text: TrainingText, smoothing: float) -> Any:
        ids, labels = (torch.tensor([part]) for part in (text.input_ids, text.labels))
        if family in ENCODER_DECODERS:
            start = int(labels[0, -1]) if family == "mbart" else network.config.decoder_start_token_id
            begun = torch.cat([torch.tensor([[start]]), labels[:, :-1]], 1)
            logits = network(input_ids=ids, decoder_input_ids=begun).logits[0]
        else:
            logits, labels = network(input_ids=ids).logits[0, :-1], labels[:, 1:]
        return torch.nn.functional.cross_entropy(logits.float(), labels[0], reduction="sum",
                                                 label_smoothing=smoothing)  # fmt: skip

    def mean(rows: Sequence[TrainingText], smoothing: float = 0.0) -> Any:
        return sum(nll(row, smoothing) for row in rows) / sum(sum(i != IGNORED for i in row.labels) for row in rows)

    rows, dev = texts(family, ROWS, 1), texts(family, 5, 2)
    points = []
    for step in range(STEPS):
        lr = PEAK * (step / WARM if step < WARM else (STEPS - step) / (STEPS - WARM))
        for group in optimizer.param_groups:
            group["lr"] = lr
        loss = mean(rows, smoothing)
        loss.backward()
        norm = torch.nn.utils.clip_grad_norm_(trained.values(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        with torch.no_grad():  # there is no dropout, and bitsandbytes spoils 4-bit weights on the CPU in eval mode
            evaluated = float(mean(dev))
        points.append(Point(float(loss.detach()), float(norm), lr, evaluated))
    return points, {n: p.detach() for n, p in trained.items()}


def ours(
    folder: Path, work: Path, family: str, recipe: str, accumulate: int, **more: Any
) -> tuple[list[Point], dict[str, Any]]:
    """The same six updates by ``dsum_bench.training.loop.train``, in as many processes as there are.

    more: further parameters of the recipe. The trained result is left in ``work / "result"``.
    """
    from dsum_bench.engines.huggingface import HuggingFace
    from dsum_bench.plugins import Plugins
    from dsum_bench.training import loop

    settings = PluginSettings(packages=())
    trainer_class = Plugins(settings).trainers[recipe]
    batch = ROWS // accumulate // int(os.environ.get("WORLD_SIZE", "1"))
    params: dict[str, Any] = {"batch": batch, "accumulate": accumulate, "lr": PEAK, "schedule": "linear", "epochs": 6.0,
              "warmup": 0.5, "max_grad_norm": 1.0, "weight_decay": 0.0, "optimizer": "adamw_torch",
              "choose_by": "last"}  # fmt: skip
    if recipe != "full":
        params |= {"r": 4, "alpha": 8.0, "dropout": 0.0}
    trainer = trainer_class(trainer_class.Params(**params | more))
    adapter = "encoder_decoder" if family in ENCODER_DECODERS else "completion"
    placement = Placement("cpu", "float32", "nf4" if recipe == "qlora" else "none", "")
    model = ModelSpec(family, adapter, source=(str(folder),), origin="")
    spec = TrainingSpec(model, RecipeSpec(recipe, recipe), placement, "", "", "ko", "train", "", "", "", None,
                        "template", SEED, name="oracle")  # fmt: skip
    job = TrainingJob("oracle", spec, (), (), work, work / "result", settings, "", probe=False)
    engine = HuggingFace(spec.model, placement)
    engine.folder, engine.packed = folder, True
    engine.load(lambda text: None)
    engine.tokenizer = type("Tokenizer", (), {"pad_token_id": PAD})()
    told: list[Any] = []
    figures = TrainingPlan(0, 0, ROWS, 0, 0, 0, 0, STEPS, 1, {}, 0, 0, 0)
    rows, dev = texts(family, ROWS, 1), texts(family, 5, 2)
    trained = loop.train(job, trainer, engine, rows, dev, told.append, figures)
    values: dict[int, dict[str, float]] = {}
    for event in told:
        if isinstance(event, CurvePoint):
            values.setdefault(event.step, {}).update(event.values)
    points = [Point(v["loss"], v["grad_norm"], v["lr"], v["eval_loss"]) for _, v in sorted(values.items())]
    weights = {n: p.detach() for n, p in trained.network.named_parameters() if p.requires_grad} if trained else {}
    if trained:
        (work / "result").mkdir(parents=True, exist_ok=True)
        trainer.save(trained.network, work / "result", trained.weights)
    return points, weights


@dataclass(frozen=True, slots=True)
class Compared:
    """The largest relative differences of six updates, and the largest absolute one of the weights after them."""

    family: str
    recipe: str
    accumulate: int
    processes: int
    first: float
    last: float
    loss: float
    grad_norm: float
    eval_loss: float
    weights: float


def compared(root: Path, family: str, recipe: str, accumulates: Sequence[int]) -> Iterator[Compared]:
    """One row a value of accumulate, in this process and those beside it; nothing in those that do not write.

    root: holds a checkpoint of every family, as ``checkpoints`` makes them, and is written to.
    """
    folder = root / family
    expected, trained = plain_loop(folder, family, recipe)
    for accumulate in accumulates:
        processes = int(os.environ.get("WORLD_SIZE", "1"))
        work = root / f"work-{family}-{recipe}-{accumulate}-{processes}"
        found, weights = ours(folder, work, family, recipe, accumulate)
        if not found:
            continue
        assert len(found) == STEPS and all(abs(a.lr - b.lr) < 1e-9 for a, b in zip(found, expected, strict=True))

        def apart(pick: Callable[[Point], float], found: list[Point] = found) -> float:
            return max(abs(pick(a) - pick(b)) / abs(pick(b)) for a, b in zip(found, expected, strict=True))

        yield Compared(family, recipe, accumulate, processes, expected[0].loss, expected[-1].loss,
                       apart(lambda p: p.loss), apart(lambda p: p.grad_norm), apart(lambda p: p.eval_loss),
                       max(float((weights[n] - w).abs().max()) for n, w in trained.items()
                           if not n.endswith(NO_GRADIENT)))  # fmt: skip


def checkpoints(root: Path, families: Iterable[str]) -> None:
    """A checkpoint of each family in a folder of its name."""
    for family in dict.fromkeys(families):
        make(root / family, family)


def in_two_processes(root: Path, cases: Sequence[tuple[str, str]], accumulates: Sequence[int]) -> list[Compared]:
    """The rows of two processes that share the updates, by torchrun."""
    work = dumps([str(root), list(cases), list(accumulates)])
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc_per_node", "2", "--standalone",
               "-m", "benchmarks.training_oracle", "--worker", work]  # fmt: skip
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=MINUTES * 60)
    if done.returncode:
        raise RuntimeError(done.stderr)
    return [Compared(**loads(line)) for line in done.stdout.splitlines() if line.startswith('{"family"')]


def table(rows: Sequence[Compared]) -> str:
    """Markdown."""
    head = ("architecture", "recipe", "accumulate", "processes", "loss 1", "loss 6", "loss", "gradient norm",
            "evaluation loss", "weights")  # fmt: skip
    lines = ["| " + " | ".join(head) + " |", "|---|---|" + "---:|" * (len(head) - 2)]
    for r in rows:
        cells = (r.family, r.recipe, str(r.accumulate), str(r.processes), f"{r.first:.4f}", f"{r.last:.4f}",
                 f"{r.loss:.1e}", f"{r.grad_norm:.1e}", f"{r.eval_loss:.1e}", f"{r.weights:.1e}")  # fmt: skip
        lines.append("| " + " | ".join(cells) + " |")
    return "\n".join(lines)


@click.command()
@click.option("--out", type=click.Path(path_type=Path), help="File to write the table to.")
@click.option("--worker", hidden=True, help="Cases as JSON, for one of two processes.")
def main(out: Path | None, worker: str | None) -> None:
    """Compare six updates of every architecture, recipe and accumulation with a plain loop."""
    if worker:
        root, cases, accumulates = loads(worker)
        for family, recipe in cases:
            for row in compared(Path(root), family, recipe, accumulates):
                if os.environ.get("RANK", "0") == "0":
                    click.echo(dumps(asdict(row)))
        return
    every = [(family, recipe) for recipe, families in RECIPES.items() for family in families]
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        checkpoints(root, FAMILIES)
        alone, shared = ([a for a, processes in SETTINGS if processes == n] for n in (1, 2))
        found = [row for family, recipe in every for row in compared(root, family, recipe, alone)]
        found += in_two_processes(root, every, shared)
    text = (
        "# Training against a plain loop\n\n"
        "    python -m benchmarks.training_oracle --out results/reference/training-oracle.md\n\n"
        f"Small random networks, float32 on the CPU, {ROWS} rows an update, AdamW, a warm-up of {WARM} "
        f"updates and a linear fall. Losses 1 and {STEPS} are those of the plain loop, which calls each row alone. "
        f"The other columns are the largest relative differences of updates 1 to {STEPS}, for the weights the largest "
        "absolute difference after them.\n\n" + table(found) + "\n"
    )
    click.echo(text)
    if out:
        out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
