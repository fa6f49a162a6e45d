"""Products in 8 bits: against the arithmetic by hand, and the same outputs in any batch."""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
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


def by_hand(x: np.ndarray, weight: np.ndarray, apart: Sequence[int] = ()) -> np.ndarray:
    """The product of rows and channels, each rounded to 127 steps of its largest value, in double precision. What that
    takes from a row with a value of ten times its root mean square is rounded to steps that are 254 times as fine.

    apart: inputs that may take four times as many steps."""
    x, weight = x.astype(np.float64), weight.astype(np.float64)
    near, far = x.copy(), x[:, list(apart)]
    near[:, list(apart)] = 0
    largest, peak = np.abs(near).max(1, keepdims=True), 10 * np.sqrt((near**2).mean(1, keepdims=True))
    largest = np.maximum(largest, np.abs(far).max(1, keepdims=True, initial=0) / 4)
    step = np.where(largest > 0, largest, 1) / 127
    rounded = np.rint(x / step) * step
    rounded += np.where(largest > peak, np.rint((x - rounded) / step * 254) * step / 254, 0)
    channel = np.abs(weight).max(1, keepdims=True) / 127
    return np.asarray(rounded @ (np.rint(weight / channel) * channel).T)


def product(layer: Any, apart: list[int] | None = None) -> Any:
    """The layer in int8."""
    import torch

    from dsum_bench.engines.calibration import Inputs
    from dsum_bench.engines.int8 import Int8Linear, Product, Rows

    inputs = None if apart is None else Inputs(torch.tensor(apart), 1.0)
    return Int8Linear(layer, Product([layer], Rows(), layer, inputs))


@pytest.mark.parametrize("bias", [True, False])
@pytest.mark.parametrize("rows", [2, 3, 40])
def test_a_product_is_that_of_rounded_rows_and_channels(rows: int, bias: bool) -> None:
    import torch

    torch.manual_seed(rows)
    layer = torch.nn.Linear(70, 130, bias=bias)
    x = torch.randn(2, rows, 70) * torch.tensor([0.01, 50.0])[:, None, None]
    x[0, 0] = 0.0
    x[1, -1, 3] = 2000.0  # stands out
    expected = by_hand(x.flatten(0, 1).numpy(), layer.weight.detach().numpy())
    added = layer.bias.detach().double().numpy() if bias else 0.0
    with torch.inference_mode():
        found = product(layer)(x)
        exact = torch.nn.functional.linear(x, layer.weight, layer.bias)
    assert found.shape == exact.shape
    np.testing.assert_allclose(
        found.flatten(0, 1).double().numpy(), expected + added, rtol=2e-5, atol=1e-6 + 2e-6 * np.abs(expected).max()
    )
    assert float((found - exact)[1].norm()) < 0.03 * float(exact[1].norm())


def test_channels_apart_leave_the_others_their_steps(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from dsum_bench.engines import int8

    torch.manual_seed(4)
    layer, apart = torch.nn.Linear(192, 64, bias=False), [3, 40, 191]
    x = torch.randn(50, 192)
    x[:, apart] *= torch.tensor([8.0, 30.0, 1.0])
    x[0, 40], x[1, 100] = 300.0, 90.0  # beyond what the columns of a channel hold, and in a channel like any other
    expected = by_hand(x.numpy(), layer.weight.detach().numpy(), apart)
    with torch.inference_mode():
        found = product(layer, apart)(x)
        np.testing.assert_allclose(found.double().numpy(), expected, rtol=2e-5, atol=1e-4)
        monkeypatch.setattr(int8, "PEAK", 1e9)  # no remainders
        found, plain = (product(layer, a)(x) for a in (apart, None))
        exact = layer(x)
    assert float((found - exact)[2:].norm()) < 0.5 * float((plain - exact)[2:].norm())


def test_calibration_finds_the_channels_of_a_norm_that_stand_out() -> None:
    import torch
    import transformers

    from dsum_bench.engines.calibration import APART, inputs

    config = transformers.LlamaConfig(
        vocab_size=300, hidden_size=192, intermediate_size=256, num_hidden_layers=2, num_attention_heads=4
    )
    torch.manual_seed(1)
    model = transformers.LlamaForCausalLM(config).eval()
    large, last = [5, 77, 130], model.model.layers[1]
    last.input_layernorm.weight.data[large] = 40.0
    made = inputs(model, torch.arange(100)[None], peak=8.0)
    found = {layer: taken.apart for layer, taken in made.items() if taken.apart is not None}
    layers = [last.self_attn.q_proj, last.self_attn.k_proj, last.self_attn.v_proj]
    assert {layer for layer in found if layer.in_features == 192} == set(layers)
    assert len(found[layers[0]]) == APART and set(large) <= set(found[layers[0]].tolist())
    assert made[layers[0]] is made[layers[1]] is made[layers[2]]
    assert made[layers[0]].outliers > 0.9 and made[last.mlp.gate_proj].outliers == 0


@pytest.mark.parametrize("apart", [None, [3, 60]])
def test_a_step_rounds_each_row_in_two_parts(apart: list[int] | None) -> None:
    import torch

    torch.manual_seed(2)
    layer = torch.nn.Linear(70, 130)
    x = torch.randn(5, 1, 70)
    x[2], x[3, 0, 3] = 0.0, 500.0
    with torch.inference_mode():
        found = product(layer, apart)(x)
    rows, weight = x[:, 0].double().numpy(), layer.weight.detach().double().numpy()
    step = np.abs(rows).max(1, keepdims=True) / 127
    step[2] = 1
    channel = np.abs(weight).max(1, keepdims=True) / 127
    # A step of 1/254 is halved by rounding: what is left is below a 508th of the first step in each channel.
    exact = rows @ (np.rint(weight / channel) * channel).T + layer.bias.detach().double().numpy()
    bound = step / 508 * np.abs(np.rint(weight / channel) * channel).sum(1)
    assert found.shape == (5, 1, 130)
    assert (np.abs(found[:, 0].double().numpy() - exact) <= bound + 1e-4).all()
    with torch.inference_mode():
        for each in range(5):
            assert torch.equal(product(layer, apart)(x[each : each + 1]), found[each : each + 1])


def test_layers_that_take_the_same_tensor_are_one_product() -> None:
    import torch
    from networks import network

    from dsum_bench.engines import int8

    model, other = network("Llama"), network("Llama")
    ids = torch.arange(1, 40)[None]
    int8.quantise_network(model, ids)
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


@pytest.mark.parametrize("apart", [None, [7, 8, 300]])
def test_a_row_has_the_same_bits_in_any_batch(apart: list[int] | None) -> None:
    import torch

    torch.manual_seed(0)
    layer = torch.nn.Linear(576, 200)
    x = torch.randn(65, 576) * torch.rand(65, 1) * 100
    x[::3, 7] = 5000.0  # stands out
    with torch.inference_mode():
        made = product(layer, apart)
        together = made(x)
        for rows in ([0], [64, 3], list(range(1, 50, 7))):
            assert torch.equal(made(x[rows]), together[rows])


def test_layers_side_by_side_quantise_a_row_once(monkeypatch: pytest.MonkeyPatch) -> None:
    import torch
    from networks import network

    from dsum_bench.engines import int8

    model, seen, quantise = network("Llama"), [], int8.quantise

    def counted(*arguments: Any) -> Any:
        seen.append(1)
        return quantise(*arguments)

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


def decoder(family: str, **changes: Any) -> Any:
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
    quantise_network(model)
    return model


@pytest.mark.parametrize("decoding", DECODINGS, ids=lambda d: d.name)
@pytest.mark.parametrize(
    ("family", "changes"),
    [("Llama", {}), ("Qwen3", {}), ("Gemma3Text", {"sliding_window": 100})],
    ids=["llama", "qwen3", "gemma3"],
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


def test_a_lora_adapter_stays_in_float32() -> None:
    import torch
    from networks import network
    from peft import LoraConfig, get_peft_model

    from dsum_bench.engines.int8 import quantise_network

    model = get_peft_model(network("Llama"), LoraConfig(r=4, target_modules=["q_proj", "down_proj"])).eval()
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3)
    ids = torch.tensor([[1, 2, 3, 4, 5, 6]])
    with torch.inference_mode():
        exact = model(input_ids=ids).logits
        quantise_network(model)
        found = model(input_ids=ids).logits
        with model.disable_adapter():
            without = model(input_ids=ids).logits
    assert float((found - exact).norm()) < 0.25 * float(exact.norm())
    assert float((without - exact).norm()) > 0.5 * float(exact.norm())
