"""`dsum-bench prompt`: exactly what a model reads."""

from __future__ import annotations

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

import click

from dsum_bench.cli.options import plugin_option, registry_option
from dsum_bench.errors import ModelError, ModelSkipped, UserError
from dsum_bench.spec import Prompt, PromptFormat, Sample

if TYPE_CHECKING:
    from dsum_bench.cli.session import Session


@click.command(short_help="Show the exact prompt of a model.")
@click.argument("model")
@click.option("--dataset", default="samples-ko", show_default=True, help="Dataset of the registry.")
@click.option("--split", help="Split of the dataset  [default: the dataset's own]")
@click.option("--sample", "sample_id", metavar="ID", help="Sample to show  [default: the first]")
@click.option("--prompt", help="Prompt of the registry instead of the model's own.")
@click.option("--prompt-format", type=click.Choice(get_args(PromptFormat)), default="template", show_default=True)
@click.option("--ids", is_flag=True, help="Print the token ids too.")
@click.option("--json", "as_json", is_flag=True, help="Print everything as JSON.")
@registry_option
@plugin_option
def prompt(model: str, registry: tuple[Path, ...], plugin: tuple[str, ...], **typed: Any) -> None:
    """Show the exact prompt MODEL gets for one sample: control tokens, token count, what was trimmed.

    Fetches the tokenizer where needed; loads no weights.
    """
    from dsum_bench.cli.session import Session

    session = Session.open(registry, plugin)
    session.report_problems()
    try:
        made, pieces = build(model, session, **{k: typed[k] for k in ("dataset", "split", "sample_id")}, options=typed)
    except (ModelError, ModelSkipped) as error:
        raise UserError(f"{model}: {error}") from None
    if typed["as_json"]:
        click.echo(json.dumps(asdict(made) | {"tokens": len(made.token_ids)}, ensure_ascii=False, indent=2))
        return
    click.echo(made.text)
    click.echo()
    told = f"sample {made.sample_id}: {len(made.token_ids)} tokens, {made.turns} turns"
    trimmed = f", {made.trimmed_turns} left out" if made.trimmed_turns else ", none left out"
    cut = f", {made.trimmed_chars} characters cut" if made.trimmed_chars else ""
    click.echo(told + trimmed + cut, err=True)
    if typed["ids"]:
        width = max((len(str(i)) for i in made.token_ids), default=0)
        for token_id, piece in zip(made.token_ids, pieces, strict=True):
            click.echo(f"{token_id:>{width}}  {piece!r}")


def build(
    name: str, session: Session, dataset: str, split: str | None, sample_id: str | None, options: dict[str, Any]
) -> tuple[Prompt, list[str]]:
    """The prompt of one sample and the text of each of its tokens."""
    from dsum_bench.cli import opened

    split = split or session.registry.dataset(dataset).default_split
    sample = _sample(session, dataset, split, sample_id)
    candidate = opened.look(
        session, name, dataset, split, [sample], prompt=options["prompt"], prompt_format=options["prompt_format"]
    )
    it = opened.opened(session, candidate)
    made = it.adapter.prompt(sample)
    tokenizer = it.loaded.tokenizer
    return made, [tokenizer.decode([i]) for i in made.token_ids] if tokenizer else []


def _sample(session: Session, dataset: str, split: str, sample_id: str | None) -> Sample:
    from dsum_bench.datasets.load import load
    from dsum_bench.errors import suggestion

    samples = load(session.registry.dataset(dataset), session.plugins, split, references=False)
    if sample_id is None:
        return samples[0]
    for sample in samples:
        if sample.id == sample_id:
            return sample
    raise UserError(f"{dataset} {split} has no sample '{sample_id}'{suggestion(sample_id, [s.id for s in samples])}")
