"""``dsum-bench datasets``: the datasets of the registry and their splits."""

from __future__ import annotations

from dataclasses import asdict
from itertools import groupby
from pathlib import Path

from dsum_bench.cli.options import command, json_option, open_bench, plugin_option, registry_option, results_option


@command()
@json_option
@registry_option
@plugin_option
@results_option
def datasets(as_json: bool, results: Path, registry: tuple[Path, ...], plugin: tuple[str, ...]) -> None:
    """List the datasets of the registry with the samples of each split.

    \b
    Examples:
      dsum-bench datasets
      dsum-bench datasets --json
    """
    from dsum_bench.cli import formatting

    bench = open_bench(results, registry, plugin, as_json)
    found = [(spec, [s for _, s in group]) for spec, group in groupby(bench.splits(), key=lambda pair: pair[0])]
    bench.report_problems()
    if as_json:
        formatting.print_json(
            [
                asdict(spec)
                | {"columns": dict(spec.columns), "splits": {s.split: s.problem or s.samples for s in splits}}
                for spec, splits in found
            ]
        )
        return
    console = formatting.console()
    for spec, splits in found:
        counts = ", ".join(f"{s.split} {s.samples}" for s in splits if not s.problem)
        about = " · ".join(filter(None, [spec.language, spec.format, spec.license]))
        console.print(
            formatting.literal(spec.name, "bold"), formatting.literal(counts), formatting.literal(about, "dim")
        )
        for split in splits:
            if split.problem:
                console.print(formatting.literal(f"  {split.split}: {split.problem}", "red"), soft_wrap=True)
