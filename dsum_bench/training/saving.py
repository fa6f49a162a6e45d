"""The result of a training as a folder that plain transformers and peft can use."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dsum_bench import provenance
from dsum_bench.adapters.base import Adapter
from dsum_bench.engines.base import Loaded
from dsum_bench.errors import ModelError
from dsum_bench.fingerprints import dialogue_digests, prompt_fingerprint
from dsum_bench.spec import ModelSpec, TrainingSpec
from dsum_bench.training.base import Trainer
from dsum_bench.training.checkpoints import sync_all
from dsum_bench.training.config import FILE as OPTIONS
from dsum_bench.training.continuing import learnt_before
from dsum_bench.training.job import TrainingJob
from dsum_bench.training.texts import IGNORED, TrainingText

if TYPE_CHECKING:
    from dsum_bench.training.loop import Trained

GENERATION = "generation_config.json"


def save(
    job: TrainingJob,
    spec: TrainingSpec,
    trainer: Trainer,
    trained: Trained,
    loaded: Loaded,
    adapter: Adapter,
    texts: Sequence[TrainingText],
) -> None:
    """Write the result beside its place and rename it, so that a result is never half there.

    Raises:
        ModelError: it cannot be written.
    """
    new = job.result.with_name(f".{job.result.name}.new")
    shutil.rmtree(new, ignore_errors=True)
    try:
        new.mkdir(parents=True)
        if trainer.keeps == "adapter":
            for config in trained.network.peft_config.values():
                config.base_model_name_or_path = public_source(spec.model) or spec.model.name
        trainer.save(trained.network, new, trained.weights)
        loaded.tokenizer.save_pretrained(new)
        settings = generation_settings(loaded, trained.network.config, adapter, texts)
        (new / GENERATION).write_text(json.dumps(settings, indent=2) + "\n", encoding="utf-8")
        (new / "README.md").unlink(missing_ok=True)  # peft's empty form; `export` writes a model card
        provenance.write(new, _provenance(job, spec))
        if job.config:
            (new / OPTIONS).write_text(job.config, encoding="utf-8")
        sync_all(new)
    except OSError as error:
        shutil.rmtree(new, ignore_errors=True)
        raise ModelError(f"the result cannot be written to {job.result}: {error.strerror or error}") from error
    shutil.rmtree(job.result, ignore_errors=True)
    new.rename(job.result)


def generation_settings(
    loaded: Loaded, config: Any, adapter: Adapter, texts: Sequence[TrainingText]
) -> dict[str, object]:
    """The base's own ``generation_config.json`` with the tokens that end an output, which plain ``generate`` stops at.

    A base without that file often names another end token than its chat template writes, or none.
    """
    from transformers import GenerationConfig

    file = loaded.folder / GENERATION if loaded.folder else None
    if file is not None and file.is_file():
        found: dict[str, object] = json.loads(file.read_text(encoding="utf-8"))
    else:
        found = GenerationConfig.from_model_config(config).to_diff_dict()
    learnt = {text.labels[-1] for text in texts}
    ends = sorted({*loaded.end_ids, *adapter.end_ids(), *learnt})
    pad = loaded.tokenizer.pad_token_id
    found["eos_token_id"] = ends[0] if len(ends) == 1 else ends
    if found.get("pad_token_id") is None:
        found["pad_token_id"] = ends[0] if pad is None else pad
    found |= adapter.generate_arguments()
    if "max_length" not in found and "max_new_tokens" not in found:
        # transformers' own default of 20 tokens would cut most summaries.
        found["max_new_tokens"] = max(sum(label != IGNORED for label in text.labels) for text in texts)
    return found


def public_source(model: ModelSpec) -> str:
    """The source of a model as others can find it; '' for a local folder."""
    return "" if Path(model.source[0]).is_absolute() else " ".join(model.source)


def _provenance(job: TrainingJob, spec: TrainingSpec) -> provenance.Provenance:
    own = dialogue_digests(s.dialogue for s in job.train)
    return provenance.Provenance(
        run_id=job.id,
        base=spec.model.name,
        base_weights=spec.weights,
        adapter=spec.model.adapter,
        prompt=prompt_fingerprint(spec.prompt, spec.prompt_format),
        dataset=spec.dataset,
        split=spec.split,
        dialogues=tuple(sorted({*own, *learnt_before(spec.model, spec.start)})),
        recipe={
            "name": spec.recipe.name,
            "trainer": spec.recipe.trainer,
            "source": public_source(spec.model),
            "language": spec.language,
            "dtype": spec.placement.dtype,
            "quantization": spec.placement.quantization,
            "selection": spec.selection,
            "max_steps": spec.max_steps,
            "seed": spec.seed,
            **({"continues": spec.start.name} if spec.start else {}),
            **({"targets": spec.targets} if spec.targets else {}),
            **({"preferences": spec.preferences} if spec.preferences else {}),
            "params": dict(spec.recipe.params),
        },
    )
