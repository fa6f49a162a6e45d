"""``python trl_alone.py FILE``: TRL's own trainers on pairs of token ids, in a process without anything of ours.

FILE is a JSON list. An entry has method (dpo or orpo), folder (of the base), rows (prompt, better, worse) and the
settings of the training.
Prints the loss of every update of each as a JSON list.
"""

from __future__ import annotations

import json
import sys
import tempfile
from pathlib import Path
from typing import Any


def main(asked: dict[str, Any]) -> list[float]:
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(asked["folder"])
    tokenizer.pad_token = tokenizer.eos_token
    network = AutoModelForCausalLM.from_pretrained(asked["folder"], dtype=torch.float32)
    torch.manual_seed(asked["seed"])
    config = LoraConfig(r=asked["r"], lora_alpha=asked["alpha"], target_modules="all-linear", task_type="CAUSAL_LM")
    network = get_peft_model(network, config)
    settings = {"output_dir": tempfile.mkdtemp(), "per_device_train_batch_size": asked["batch"],
                "gradient_accumulation_steps": asked["accumulate"], "learning_rate": asked["lr"],
                "lr_scheduler_type": "constant", "max_steps": asked["steps"], "max_grad_norm": 1.0, "logging_steps": 1,
                "beta": asked["beta"], "report_to": [], "use_cpu": True, "save_strategy": "no", "bf16": False,
                "weight_decay": 0.0, "optim": "adamw_torch", "max_length": None,
                "gradient_checkpointing": False, "disable_tqdm": True}  # fmt: skip
    text = table([{"prompt": "a", "chosen": "b", "rejected": "c"}] * len(asked["rows"]))
    if asked["method"] == "dpo":
        from trl import DPOConfig, DPOTrainer

        trainer = DPOTrainer(model=network, args=DPOConfig(**settings), train_dataset=text, processing_class=tokenizer)
    else:
        from trl.experimental.orpo import ORPOConfig, ORPOTrainer

        arguments = ORPOConfig(**settings | {"max_length": 4096})
        trainer = ORPOTrainer(model=network, args=arguments, train_dataset=text, processing_class=tokenizer)
    # Its own tokens for a text may differ; the comparison is about the loss.
    trainer.train_dataset = table([(dpo_row if asked["method"] == "dpo" else orpo_row)(r) for r in asked["rows"]])
    trainer.train()
    return [row["loss"] for row in trainer.state.log_history if "loss" in row]


def table(rows: list[dict[str, Any]]) -> Any:
    """The rows as TRL takes them. With a name of their own: to find one, datasets would pickle the table, which fails
    beside some versions of pyarrow."""
    import pyarrow
    from datasets import Dataset

    return Dataset(pyarrow.Table.from_pylist(rows), fingerprint="rows")


def dpo_row(row: dict[str, list[int]]) -> dict[str, Any]:
    """A row as DPOTrainer tokenises it."""
    return {"prompt_ids": row["prompt"], "chosen_ids": row["better"], "rejected_ids": row["worse"]}


def orpo_row(row: dict[str, list[int]]) -> dict[str, Any]:
    """A row as ORPOTrainer.tokenize_row makes it."""
    made: dict[str, Any] = {"prompt": "", "chosen": "", "rejected": "", "prompt_input_ids": row["prompt"],
                            "prompt_attention_mask": [1] * len(row["prompt"])}  # fmt: skip
    for name, part in (("chosen", "better"), ("rejected", "worse")):
        ids = row["prompt"] + row[part]
        made |= {f"{name}_input_ids": ids, f"{name}_attention_mask": [1] * len(ids),
                 f"{name}_labels": [-100] * len(row["prompt"]) + row[part]}  # fmt: skip
    return made


if __name__ == "__main__":
    print(json.dumps([main(asked) for asked in json.loads(Path(sys.argv[1]).read_text("utf-8"))]))
