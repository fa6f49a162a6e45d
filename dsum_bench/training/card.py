"""The model card of an export: YAML for the hub, and Markdown for people."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from dsum_bench.provenance import FILE, Provenance
from dsum_bench.spec import ModelSpec

Score = tuple[str, str, str, float, int]
"""Dataset and split, signature, measure, mean, and number of samples."""


def card(model: ModelSpec, made: Provenance, scores: Sequence[Score], folder: Path) -> str:
    """The text of ``README.md`` beside the weights in folder, which says what kind of export it is."""
    params = made.recipe.get("params", {})
    base = made.recipe.get("source") or f"a checkpoint that is not public, `{made.base}` in the registry"
    adapter = (folder / "adapter_config.json").is_file()
    merged = not adapter and model.peft is not None
    kind = "an adapter on its base" if adapter else "an adapter merged into its base" if merged else "all weights"
    lines = [
        f"# {model.name}",
        "",
        f"{made.base} trained with dsum-bench by recipe `{made.recipe.get('name')}`; this is {kind}.",
        "",
        *_use(model, made, adapter),
        "",
        f"- base: {base} (weights {made.base_weights})",
        *(
            [f"- continues: `{made.recipe['continues']}`, whose training dialogues are counted"]
            if made.recipe.get("continues")
            else []
        ),
        *([f"- learnt instead of the references: {made.recipe['targets']}"] if made.recipe.get("targets") else []),
        *([f"- learnt which is better: {made.recipe['preferences']}"] if made.recipe.get("preferences") else []),
        f"- licence of the base: {model.license or 'see the base'}",
        f"- data: {made.dataset} {made.split}, {made.recipe.get('selection')}, {len(made.dialogues)} dialogues",
        f"- prompt fingerprint: `{made.prompt}` (adapter `{made.adapter}`)",
        f"- recipe: `{json.dumps(params, sort_keys=True)}`, seed {made.recipe.get('seed')}",
        "",
        "| samples | measure | mean | n | signature |",
        "|---|---|---|---|---|",
        *(f"| {data} | {measure} | {mean:.2f} | {n} | `{sign}` |" for data, sign, measure, mean, n in scores),
        "",
        f"`{FILE}` holds digests of the training dialogues, so that an evaluation on one of them is found.",
    ]
    return _metadata(model, made, scores, adapter) + "\n".join(lines) + "\n"


def _use(model: ModelSpec, made: Provenance, adapter: bool) -> list[str]:
    """How plain transformers loads it; the prompt has to be the one it was trained with."""
    auto = "AutoModelForSeq2SeqLM" if made.adapter == "encoder_decoder" else "AutoModelForCausalLM"
    base = made.recipe.get("source") or "FOLDER_OF_THE_BASE"
    if not adapter:
        return ["```python", f"from transformers import {auto}, AutoTokenizer", "",
                f'model = {auto}.from_pretrained("FOLDER")', 'tokenizer = AutoTokenizer.from_pretrained("FOLDER")',
                "```"]  # fmt: skip
    packed = made.recipe.get("quantization") == "nf4"
    names = f"{auto}, AutoTokenizer, {'BitsAndBytesConfig, ' if packed else ''}GenerationConfig"
    # An adapter makes up for what packing did to its base, so it belongs on the packed weights.
    lines = ["", "packed = BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type=\"nf4\",",
             "                            bnb_4bit_use_double_quant=True)"] if packed else [""]  # fmt: skip
    more = ", quantization_config=packed" if packed else ""
    return ["```python", "from peft import PeftModel", f"from transformers import {names}", *lines,
            f'base = {auto}.from_pretrained("{base}"{more})',
            'model = PeftModel.from_pretrained(base, "FOLDER")',
            'model.generation_config = GenerationConfig.from_pretrained("FOLDER")  # the tokens that end a summary',
            'tokenizer = AutoTokenizer.from_pretrained("FOLDER")', "```"]  # fmt: skip


def _metadata(model: ModelSpec, made: Provenance, scores: Sequence[Score], adapter: bool) -> str:
    from huggingface_hub import EvalResult, ModelCardData

    results = [
        EvalResult(
            task_type="summarization",
            dataset_type=data.partition(" ")[0],
            dataset_name=data,
            metric_type="rouge" if "rouge" in sign else sign.partition("@")[0].partition("|")[0],
            metric_name=f"{measure}, {sign}",
            metric_value=round(mean, 2),
        )
        for data, sign, measure, mean, _ in scores
    ]
    data = ModelCardData(
        base_model=str(made.recipe.get("source") or "") or None,
        language=str(made.recipe.get("language") or "") or None,
        license=model.license.lower() if model.license else None,
        library_name="peft" if adapter else "transformers",
        pipeline_tag="summarization",
        tags=["dsum-bench", "dialogue-summarization"],
        model_name=model.name,
        eval_results=results or None,
    )
    return f"---\n{data.to_yaml()}\n---\n\n"
