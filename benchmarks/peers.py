"""Engines of other projects on the CPU: CTranslate2 and llama.cpp (by the package xllamacpp), from their wheels.

Both begin with our token ids and write greedily. Their weights are made from the same checkpoint: CTranslate2's in
float32 and int8, llama.cpp's in float32 and q8_0.
"""

from __future__ import annotations

import importlib
import importlib.util
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from benchmarks.screening import Bench

SLOTS = 4
"""Requests that llama.cpp answers at once, as a server with its usual settings."""
BATCH = 16
ROOM = 1024
"""Tokens of a slot beyond the longest prompt, rounded up to so many."""


def peers(bench: Bench, new: int, threads: int) -> Mapping[str, Callable[[], dict[str, str]]]:
    """Name of each engine that is installed -> its texts of all prompts."""
    found: dict[str, Callable[[], dict[str, str]]] = {}
    folder = Path(tempfile.mkdtemp(prefix="dsum-bench-peers-"))
    if importlib.util.find_spec("ctranslate2"):
        found |= {
            f"CTranslate2, {kind}": ctranslate2(bench, new, threads, folder, kind) for kind in ("float32", "int8")
        }
    if importlib.util.find_spec("xllamacpp"):
        found |= {f"llama.cpp, {kind}": llama_cpp(bench, new, threads, folder, kind) for kind in ("f32", "q8_0")}
    return found


def ctranslate2(bench: Bench, new: int, threads: int, folder: Path, kind: str) -> Callable[[], dict[str, str]]:
    """Generate with CTranslate2, prompts of like length together."""
    library: Any = importlib.import_module("ctranslate2")
    library.converters.TransformersConverter(str(bench.engine.folder)).convert(str(folder / kind), quantization=kind)
    engine = library.Generator(str(folder / kind), device="cpu", intra_threads=threads, compute_type=kind)
    ends = bench.tokenizer.convert_ids_to_tokens(bench.ends)

    def work() -> dict[str, str]:
        prompts = [bench.tokenizer.convert_ids_to_tokens(list(p.token_ids)) for p in bench.prompts]
        made = engine.generate_batch(
            prompts, max_length=new, sampling_topk=1, include_prompt_in_result=False, end_token=ends,
            max_batch_size=BATCH,
        )  # fmt: skip
        return bench.texts({p.sample_id: list(m.sequences_ids[0]) for p, m in zip(bench.prompts, made, strict=True)})

    return work


def llama_cpp(bench: Bench, new: int, threads: int, folder: Path, kind: Any) -> Callable[[], dict[str, str]]:
    """Generate with llama.cpp's server in this process, several requests at a time."""
    from dsum_bench.training.gguf_file import write

    library: Any = importlib.import_module("xllamacpp")
    write(bench.engine.folder, folder / f"{kind}.gguf", kind)
    longest = max(len(p.token_ids) for p in bench.prompts) + new
    settings = library.CommonParams()
    settings.model.path = str(folder / f"{kind}.gguf")
    settings.n_parallel = SLOTS
    settings.verbosity = -1
    settings.n_ctx = SLOTS * (longest // ROOM + 1) * ROOM
    settings.cpuparams.n_threads = settings.cpuparams_batch.n_threads = threads
    server = library.Server(settings)

    def one(ids: Sequence[int]) -> str:
        asked = {"prompt": list(ids), "max_tokens": new, "temperature": 0.0}
        answer = server.handle_completions(asked)
        if "choices" not in answer:
            raise RuntimeError(f"llama.cpp did not answer: {answer}")
        return str(answer["choices"][0]["text"])

    def work() -> dict[str, str]:
        with ThreadPoolExecutor(SLOTS) as pool:
            made = list(pool.map(one, [p.token_ids for p in bench.prompts]))
        return {p.sample_id: text.strip() for p, text in zip(bench.prompts, made, strict=True)}

    return work
