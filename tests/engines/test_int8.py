"""Products in 8 bits: against the arithmetic by hand, and the same outputs in any batch."""

from __future__ import annotations

import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny
from loaded_engine import NEW, SAMPLES, LoadedEngine
from networks import END, cut

from dsum_bench.decoding.strategies import Beam, BeamParams, Greedy, GreedyParams, Sampling, SamplingParams
from dsum_bench.engines import huggingface
from dsum_bench.engines.processor import multiplies_bytes
from dsum_bench.spec import Placement, Prompt

pytestmark = pytest.mark.skipif(not multiplies_bytes(), reason="this processor does not multiply bytes")
INT8 = Placement("cpu", "float32", "int8", "")
DECODINGS = [
    Greedy(GreedyParams(max_new_tokens=30)),
    Beam(BeamParams(max_new_tokens=12, beams=3)),
    Sampling(SamplingParams(max_new_tokens=20, temperature=1.0), seed=5),
]


def by_hand(x: np.ndarray, weight: np.ndarray) -> np.ndarray:
    """The product of rows and channels, both rotated in blocks and rounded to 127 steps of the largest value, in double
    precision."""
    from scipy.linalg import block_diag, hadamard

    width = x.shape[1]
    block = min(32, width & -width)
    turn = block_diag(*[hadamard(block)] * (width // block)) / np.sqrt(block)

    def rounded(rows: np.ndarray) -> np.ndarray:
        turned = rows.astype(np.float64) @ turn
        largest = np.abs(turned).max(1, keepdims=True)
        step = np.where(largest > 0, largest, 1) / 127
        return np.asarray(np.rint(turned / step) * step)

    return np.asarray(rounded(x) @ rounded(weight).T)


def product(layer: Any) -> Any:
    """The layer in int8."""
    from dsum_bench.engines.int8 import Int8Linear, Product, Rows

    return Int8Linear(layer, Product([layer], Rows(), layer, {}))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize(("rows", "width"), [(1, 96), (3, 70), (40, 96), (200, 64)])
def test_a_product_is_that_of_rounded_rows_and_channels(rows: int, width: int, bias: bool) -> None:
    import torch

    torch.manual_seed(rows)
    layer = torch.nn.Linear(width, 130, bias=bias)
    x = torch.randn(2, rows, width) * torch.tensor([0.01, 50.0])[:, None, None]
    x[0, 0] = 0.0
    expected = by_hand(x.flatten(0, 1).numpy(), layer.weight.detach().numpy())
    added = layer.bias.detach().double().numpy() if bias else 0.0
    with torch.inference_mode():
        found = product(layer)(x)
        exact = torch.nn.functional.linear(x, layer.weight, layer.bias)
    assert found.shape == exact.shape
    # A value between two steps may be rounded to either.
    miss = np.abs(found.flatten(0, 1).double().numpy() - expected - added)
    assert np.median(miss) < 1e-5 * np.abs(expected).max()
    assert miss.max() < 0.01 * np.abs(expected).max()
    assert float((found - exact)[1].norm()) < 0.02 * float(exact[1].norm())


def test_values_that_stand_out_in_other_channels_of_each_row_leave_the_others_their_steps() -> None:
    import torch

    torch.manual_seed(4)
    layer = torch.nn.Linear(576, 64, bias=False)
    x = torch.randn(50, 576)
    x[torch.arange(50), torch.randint(576, (50,))] = 60.0
    with torch.inference_mode():
        exact = layer(x)
        step = x.abs().amax(1, keepdim=True) / 127
        plain = layer((x / step).round() * step)
        found = product(layer)(x)
    assert float((found - exact).norm()) < 0.35 * float((plain - exact).norm())


def test_rotated_rows_are_exact_in_whatever_order_they_are_added() -> None:
    import torch

    from dsum_bench.engines.int8 import hadamard, quantise, rotated

    torch.manual_seed(0)
    x = torch.randn(7, 96) * torch.logspace(-20, 20, 7)[:, None]
    turn = hadamard(96)
    whole = torch.mul(x, 2**23 // 32 / x.abs().amax(1, keepdim=True)).round()
    assert torch.equal(rotated(whole, turn).double(), rotated(whole.double(), turn.double()))
    made = quantise(x)
    back = rotated((made.values.float() - 128) * made.scales, turn) / 32
    assert float(((back - x).abs() / x.abs().amax(1, keepdim=True)).max()) < 0.02


def test_layers_that_take_the_same_tensor_are_one_product(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from networks import network

    from dsum_bench.engines import int8

    model, other = network("Llama"), network("Llama")
    ids = torch.arange(1, 40)[None]
    int8.quantise_network(model)
    monkeypatch.setattr(int8, "sharing", lambda network: {})
    int8.quantise_network(other)
    layer, apart = model.model.layers[2], other.model.layers[2]
    names = [("self_attn", n) for n in ("q_proj", "k_proj", "v_proj", "o_proj")] + [
        ("mlp", n) for n in ("gate_proj", "up_proj", "down_proj")
    ]
    found = [getattr(getattr(layer, part), name) for part, name in names]
    assert [len({id(m.product) for m in found[a:b]}) for a, b in ((0, 3), (3, 4), (4, 6), (6, 7))] == [1, 1, 1, 1]
    assert len({id(getattr(getattr(apart, part), name).product) for part, name in names}) == len(names)
    with torch.inference_mode():
        assert torch.equal(model(input_ids=ids).logits, other(input_ids=ids).logits)


def test_a_row_has_the_same_bits_in_any_batch() -> None:
    import torch

    torch.manual_seed(0)
    layer = torch.nn.Linear(576, 200)
    x = torch.randn(65, 576) * torch.rand(65, 1) * 100
    x[::3, 7] = 5000.0  # stands out
    with torch.inference_mode():
        made = product(layer)
        together = made(x)
        for rows in ([0], [1], [64, 3], list(range(1, 50, 7))):
            assert torch.equal(made(x[rows]), together[rows])


def test_layers_side_by_side_quantise_a_row_once(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from networks import network

    from dsum_bench.engines import int8

    model, seen, quantise = network("Llama"), [], int8.quantise

    def counted(*arguments: Any) -> Any:
        seen.append(1)
        return quantise(*arguments)

    monkeypatch.setattr(int8, "sharing", lambda network: {})  # products of their own
    int8.quantise_network(model)
    monkeypatch.setattr(int8, "quantise", counted)
    with torch.inference_mode():
        model(input_ids=torch.tensor([[1, 2, 3]]))
    # Of each of four layers the inputs of queries, keys and values, of the output, of gate and up, and of down.
    assert len(seen) == 4 * 4 + 1


@pytest.mark.parametrize("family", ["llama", "gemma3", "bart", "t5"])
def test_weights_take_a_quarter_of_the_memory(family: str, tmp_path: Path, bart_tokenizer: Any) -> None:
    from dsum_bench.engines.int8 import Int8Embedding, Int8Linear

    if family in ("bart", "t5"):
        folder = getattr(tiny, family)(tmp_path, bart_tokenizer)
    else:
        folder = tiny.decoder(tmp_path, family, bart_tokenizer)
    adapter, options = ("completion", {}) if family in ("llama", "gemma3") else ("encoder_decoder", {"wrap": True})
    model = LoadedEngine(folder, adapter, options, INT8).engine.network
    kept = {id(m.weight): m.weight.numel() for m in model.modules() if isinstance(m, (Int8Linear, Int8Embedding))}
    left = sum(p.numel() for p in model.parameters())  # norms, biases, places
    assert left < 0.2 * sum(kept.values())
    assert not [m for m in model.modules() if type(m).__name__ == "Linear"]


def decoder(family: str, adapter: bool = False, **changes: Any) -> Any:
    """A small random decoder whose sizes are multiples of what a processor takes at once, as those of real ones are."""
    import torch
    import transformers

    from dsum_bench.engines.int8 import quantise_network

    config = getattr(transformers, f"{family}Config")(
        vocab_size=608, hidden_size=128, intermediate_size=256, num_hidden_layers=4, num_attention_heads=4,
        num_key_value_heads=2, head_dim=32, initializer_range=0.08, **changes,
    )  # fmt: skip
    torch.manual_seed(1)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32).eval()
    model = adapted(model) if adapter else model
    quantise_network(model)
    return model


@pytest.mark.parametrize("decoding", DECODINGS, ids=lambda d: d.name)
@pytest.mark.parametrize(
    ("family", "changes"),
    [("Llama", {}), ("Llama", {"adapter": True}), ("Qwen3", {}), ("Gemma3Text", {"sliding_window": 100})],
    ids=["llama", "adapter", "qwen3", "gemma3"],
)
def test_outputs_are_the_same_in_any_batch(family: str, changes: dict[str, Any], decoding: Any) -> None:
    from dsum_bench.engines.generation import OutputTokens, Writer
    from dsum_bench.engines.heartbeat import Heartbeat

    rng, model = random.Random(0), decoder(family, **changes)
    start = [rng.randrange(600) for _ in range(40)]
    lengths = (290, 288, 150, 149, 33, 20, 2, 1)
    rows = [Prompt(f"s{n}", "", (*start, *(rng.randrange(600) for _ in range(n)))) for n in lengths]

    def written(batches: list[list[Prompt]], group: int = 2048) -> dict[str, list[int]]:
        asked = [p for batch in batches for p in batch]
        writer = Writer(model, OutputTokens((END,), 0, frozenset()), asked, left=True, group=group, steady=True)
        assert writer.steady and writer.in_pieces
        found: dict[str, list[int]] = {}
        for batch in batches:
            out = writer.write(batch, decoding, decoding.config(), Heartbeat(lambda text: None, len(batch)))
            found |= {p.sample_id: cut(row) for p, row in zip(batch, out, strict=True)}
        return found

    together = written([rows])
    assert len({tuple(row) for row in together.values()}) == len(rows)
    assert written([rows[i : i + 3] for i in (0, 3, 6)]) == together
    assert written([rows[::3], rows[1::3], rows[2::3]], group=200) == together
    alone: dict[str, list[int]] = {}
    for row in rows:  # without a shared start, too
        alone |= written([[row]])
    assert alone == together


@pytest.mark.parametrize("beams", [1, 3])
def test_scores_have_the_same_bits_beside_any_neighbours_and_with_and_without_a_shared_start(beams: int) -> None:
    import torch

    from dsum_bench.engines import reading
    from dsum_bench.engines.pieces import Lineage

    rng, model = random.Random(0), decoder("Gemma3Text", sliding_window=100)
    start = [rng.randrange(600) for _ in range(40)]
    rows = [start + [rng.randrange(600) for _ in range(n)] for n in (402, 364, 149, 94, 1)]

    def scores(rows: list[list[int]], start: list[int]) -> torch.Tensor:
        reader = reading.Reader(model, start, steady=True)
        groups = [reader.read([row[:-1] for row in rows])]
        cache = reader.cache(groups, max(map(len, rows)) - 1, 4, range(len(rows)), Lineage(beams))
        ids = torch.tensor([[(row[-1] + beam) % 600] for row in rows for beam in range(beams)])
        places = torch.tensor([[len(row) - 1] for row in rows for _ in range(beams)])
        found = []
        for step in range(4):
            found.append(reading.forward(model, ids, places + step, cache).logits.view(len(rows), beams, -1))
            ids = found[-1].argmax(-1).view(-1, 1)
        return torch.stack(found, 1)

    with torch.inference_mode(), reading.in_pieces(model):
        together = scores(rows, start)
        for number, row in enumerate(rows):
            assert torch.equal(scores([row], [])[0], together[number])


@pytest.mark.parametrize("decoding", DECODINGS, ids=lambda d: d.name)
@pytest.mark.parametrize("family", ["bart", "t5"])
def test_an_encoder_decoder_writes_the_same_in_any_batch(
    family: str, decoding: Any, tmp_path: Path, bart_tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = getattr(tiny, family)(tmp_path, bart_tokenizer)
    opened = LoadedEngine(folder, "encoder_decoder", {"wrap": True}, INT8)
    together = opened.texts(decoding)
    assert len(opened.batches(decoding)) == 1
    for size in (1, 3):
        monkeypatch.setattr(huggingface, "plan_batches", cuts(size))
        assert len(opened.batches(decoding)) > 2
        assert opened.texts(decoding) == together
    assert len({v[0] for v in together.values()}) > 1


def cuts(size: int) -> Callable[..., list[list[Prompt]]]:
    return lambda prompts, *limits: [list(prompts[i : i + size]) for i in range(0, len(prompts), size)]


def test_an_unsteady_network_gets_batches_of_one(
    tmp_path: Path, bart_tokenizer: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dsum_bench.engines import reading

    opened = LoadedEngine(tiny.decoder(tmp_path, "llama", bart_tokenizer), "completion", {}, INT8)
    decoding = Greedy(GreedyParams(max_new_tokens=NEW))
    assert len(opened.batches(decoding)) == 1
    monkeypatch.setattr(reading, "works", lambda *asked: False)
    assert len(opened.batches(decoding)) == len(SAMPLES)


def adapted(model: Any) -> Any:
    """With a LoRA adapter that changes its outputs."""
    import torch
    from peft import LoraConfig, get_peft_model

    made = get_peft_model(model, LoraConfig(r=4, target_modules=["q_proj", "k_proj", "down_proj"])).eval()
    torch.manual_seed(3)
    for name, parameter in made.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    return made


def test_a_lora_adapter_becomes_part_of_the_weights() -> None:
    import torch
    from networks import network

    from dsum_bench.engines.int8 import quantise_network

    model, other = adapted(network("Llama")), adapted(network("Llama")).merge_and_unload()
    ids = torch.tensor([[1, 2, 3, 4, 5, 6]])
    with torch.inference_mode():
        without = network("Llama")(input_ids=ids).logits
        exact = model(input_ids=ids).logits
        quantise_network(model)
        quantise_network(other)
        found = model(input_ids=ids).logits
        assert torch.equal(found, other(input_ids=ids).logits)
    assert not [m for m in model.modules() if isinstance(m, torch.nn.Linear)]
    assert float((found - exact).norm()) < 0.2 * float(exact.norm())
    assert float((without - exact).norm()) > 0.5 * float(exact.norm())


def test_a_layer_under_dora_keeps_its_weights() -> None:
    import torch
    from networks import network
    from peft import LoraConfig, get_peft_model

    from dsum_bench.engines.int8 import quantise_network

    config = LoraConfig(r=4, target_modules=["q_proj", "down_proj"], use_dora=True, init_lora_weights=False)
    model, ids = get_peft_model(network("Llama"), config).eval(), torch.tensor([[1, 2, 3, 4, 5, 6]])
    with torch.inference_mode():
        exact = model(input_ids=ids).logits
        quantise_network(model)
        assert float((model(input_ids=ids).logits - exact).norm()) < 0.1 * float(exact.norm())
