"""Greedy outputs on a GPU through transformers' continuous batching: a row that has ended makes room at once.

It leaves out, without an error, what it cannot do. So it is asked only for what it does, and only of architectures
whose texts were compared with those of ``generate`` (``tests/engines/test_continuous.py``).

Imports torch: import this module inside methods only.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from time import perf_counter
from typing import Any

import torch
from transformers import GenerationConfig

from dsum_bench.decoding.base import Batch, Decoding
from dsum_bench.engines.base import Tell
from dsum_bench.engines.generation import OutputTokens
from dsum_bench.errors import ModelError
from dsum_bench.spec import Prompt

COMPARED = frozenset({"llama", "qwen2", "qwen3", "gemma3_text", "mistral"})
DEVICES = frozenset({"cuda"})
GREEDY = {"do_sample": False, "num_beams": 1}
# Other attention kernels would be fetched from the hub, and are code.
SETTINGS: dict[str, Any] = {"auto_switch_to_flash": False, "drop_unsupported_processors": False}
PAGE = 256
"""Tokens of a block, transformers' own default."""
EVERY = 1.0
"""Seconds of outputs that are given back together."""


def honours(network: Any, decoding: Decoding, arguments: Mapping[str, Any], words: OutputTokens) -> bool:
    """Whether continuous batching writes what ``generate`` writes with these settings: greedy and nothing else."""
    rest = {k: v for k, v in arguments.items() if k != "max_new_tokens" and v is not None}
    one = Batch(("",), 1, words.tags, ("",), words.ends, words.tokenizer)
    return (
        network.device.type in DEVICES
        # Nobody has compared texts of packed weights yet.
        and not getattr(network, "is_quantized", False)
        and network.config.model_type in COMPARED
        and rest == GREEDY
        and not decoding.processors(one)
    )


def write(
    network: Any, vocabulary: OutputTokens, prompts: Sequence[Prompt], new: int, tell: Tell
) -> Iterator[list[tuple[Prompt, list[int]]]]:
    """Prompts with their new tokens, in the order in which they are ready. Prompts it could not do are missing.

    Raises:
        ModelError: it broke off.
    """
    # The network within an adapter of peft has the adapter's layers in it.
    base = network.get_base_model() if hasattr(network, "get_base_model") else network
    waiting = {str(number): prompt for number, prompt in enumerate(prompts)}
    manager = _manager(base, vocabulary, prompts, new)
    count, done = len(waiting), False
    try:
        manager.start()
        for number, prompt in waiting.items():
            manager.add_request(list(prompt.token_ids), number, max_new_tokens=new, eos_token_id=list(vocabulary.ends))
        while waiting:
            ready = _ready(manager)
            if not ready and not manager.is_running():
                raise ModelError("continuous batching ended early")
            found = [(waiting.pop(r.request_id), r) for r in ready]
            if found:  # silence is how a loop that hangs is noticed
                tell(f"{count - len(waiting)}/{count} samples")
            yield [(prompt, list(r.generated_tokens)) for prompt, r in found if r.error is None]
        done = True
    finally:
        manager.stop(timeout=30, hard_stop=not done)
        manager.destroy()


def _manager(network: Any, vocabulary: OutputTokens, prompts: Sequence[Prompt], new: int) -> Any:
    from transformers.generation.configuration_utils import ContinuousBatchingConfig
    from transformers.generation.continuous_batching.utils import WorkloadHints

    longest = max(len(p.token_ids) for p in prompts)
    settings = dict(SETTINGS)
    if network.device.type == "cuda":
        free = torch.cuda.mem_get_info(network.device)[0]
        settings["num_blocks"] = blocks(network.config, network.dtype.itemsize, prompts, new, free)
    manager = network.init_continuous_batching(
        GenerationConfig(**GREEDY, max_new_tokens=new, eos_token_id=list(vocabulary.ends), pad_token_id=vocabulary.pad),
        ContinuousBatchingConfig(**settings),
        WorkloadHints(max_prompt_length=longest, max_generated_length=new, num_requests=len(prompts)),
    )
    if network.device.type == "cuda":
        manager.warmup()
    return manager


def blocks(config: Any, width: int, prompts: Sequence[Prompt], new: int, free: int) -> int:
    """Blocks of its cache: twice what all rows take, since it keeps some free, and at most a quarter of the memory that
    is free. By itself it takes nine tenths.

    width: bytes of a number. free: bytes.
    """
    text = config.get_text_config()
    heads = getattr(text, "num_key_value_heads", None) or text.num_attention_heads
    head = getattr(text, "head_dim", None) or text.hidden_size // text.num_attention_heads
    rows = sum(-(-(len(p.token_ids) + new) // PAGE) for p in prompts)
    longest = max(-(-(len(p.token_ids) + new) // PAGE) for p in prompts)
    fits = free // 4 // (2 * text.num_hidden_layers * heads * head * width * PAGE)
    return max(2 * longest, min(2 * rows, int(fits)))


def _ready(manager: Any) -> list[Any]:
    """What gets ready within a second."""
    end, found = perf_counter() + EVERY, []
    while (left := end - perf_counter()) > 0:
        result = manager.get_result(timeout=left)
        if result is None:
            break
        if result.is_finished():
            found.append(result)
    return found
