"""Random weights of the GPU benchmark: 28 layers with tied embeddings have finite gradients and never end a text."""

from __future__ import annotations

from typing import Any

import pytest
from assets import need, tokenizer_folder

from benchmarks.gpu import SHAPES, save

pytestmark = pytest.mark.network
DIALOGUE = "#Person1#: 몇 시에 만날까요?\n#Person2#: 세 시에 봐요."


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, list[int], int]:
    """The network as it is read again, ids of a chat, and the first special id."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = tmp_path_factory.mktemp("random")
    # A product with such weights is as large as with 3,072 columns of 0.02 each.
    shape = SHAPES["tiny"] | {"num_hidden_layers": 28, "initializer_range": 0.02 * (3072 / 64) ** 0.5}
    save(shape, need(tokenizer_folder, "llama3"), folder, "cpu")
    words = AutoTokenizer.from_pretrained(folder)
    chat = [{"role": "user", "content": DIALOGUE}]
    text = words.apply_chat_template(chat, tokenize=False, add_generation_prompt=True)
    network = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, local_files_only=True)
    assert network.config.tie_word_embeddings
    return network, words(text, add_special_tokens=False)["input_ids"], words.vocab_size


def test_the_gradient_of_an_adapter_is_finite(made: tuple[Any, list[int], int]) -> None:
    """A zero row of the embeddings stays zero in every layer, and each norm multiplies its gradient by 1,000."""
    import torch
    from peft import LoraConfig, get_peft_model

    network, ids, special = made
    assert ids[0] >= special, "nothing stands before the first token, so its own row is all that it reads"
    tuned = get_peft_model(network, LoraConfig(r=4, target_modules="all-linear", task_type="CAUSAL_LM"))  # type: ignore[arg-type]
    batch = torch.tensor([ids])
    tuned(input_ids=batch, labels=batch).loss.backward()
    learning = [p.grad for p in tuned.parameters() if p.requires_grad]
    assert all(bool(g.isfinite().all()) for g in learning) and any(bool(g.any()) for g in learning)
    tuned.unload()


def test_no_special_token_comes_near_the_likeliest(made: tuple[Any, list[int], int]) -> None:
    import torch

    network, ids, special = made
    with torch.inference_mode():
        written = network.generate(torch.tensor([ids]), max_new_tokens=64, do_sample=False, pad_token_id=special)
        scores = network(written).logits[0, len(ids) - 1 :]
    assert len(scores) == 65, "it has not ended"
    assert bool((scores[:, special:].amax(-1) < 0.3 * scores.amax(-1)).all())
