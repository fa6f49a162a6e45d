"""Commands and workers that begin as a copy of a process in which torch and transformers are loaded already.

``python -m dsum_bench`` and its workers spend seconds on imports, and the tests start hundreds of them. Here a server
imports once and forks: what runs is the same code in a process of its own, with its own arguments, environment, folder,
streams, signals and exit code. What is about the start itself (what a process imports, how a worker that cannot start
is explained, how one ends with its parent) is marked ``fresh`` and starts every process anew; DSUM_TESTS_FRESH=1 does
so for all tests.
"""

from __future__ import annotations

import atexit
import fcntl
import gc
import importlib
import json
import os
import pkgutil
import runpy
import select
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import traceback
import warnings
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

FIXED = (
    "PYTHON", "LD_", "LC_", "LANG", "HOME", "TMPDIR", "TZ", "XDG_", "MALLOC_", "GLIBC_", "OMP_", "MKL_", "TORCH_",
    "PYTORCH", "HF_", "HUGGINGFACE_", "TRANSFORMERS_", "TOKENIZERS_", "BITSANDBYTES_", "BNB_",
)  # fmt: skip
"""How the names of variables begin that Python or a package may read while it is imported. Where one of them is not as
the server has it, a process starts anew."""
WORKER = "dsum_bench.executors.child"
PACKAGES = (
    "torch", "numpy", "pandas", "peft", "safetensors.torch", "sqlite_utils", "huggingface_hub", "jinja2", "rich.live",
    "cloudpickle", "tokenizers", "transformers.trainer", "transformers.models.auto.tokenization_auto",
    "transformers.models.llama.modeling_llama", "transformers.models.bart.modeling_bart",
)  # fmt: skip
NOT_LOADED = ("dsum_bench.__main__", "dsum_bench.cli", "dsum_bench.scaffold", "dsum_bench.testing")
ROOT = Path(__file__).parents[2]
STANDARD: dict[str, str] = {}
"""The environment of the server."""
HIGH = 500
"""File descriptors on their way to their place are kept above this."""

ALWAYS_FRESH = fresh = os.environ.get("DSUM_TESTS_FRESH") == "1"
"""Whether processes start anew at the moment; set for each test."""


@dataclass(frozen=True, slots=True)
class Request:
    """A process to be made. places: which descriptor each of those sent along becomes."""

    module: str
    arguments: Sequence[str]
    folder: str
    environment: Mapping[str, str]
    places: Sequence[int]
    leads_group: bool


class Forked:
    """A process that a server made, with what is used of ``Popen``."""

    def __init__(self, server: Path, request: Request, descriptors: Sequence[int]) -> None:
        self.returncode: int | None = None
        self._connection = socket.socket(socket.AF_UNIX)
        self._connection.connect(str(server))
        text = json.dumps(asdict(request)).encode("ascii")
        socket.send_fds(self._connection, [struct.pack("q", len(text))], list(descriptors))
        self._connection.sendall(text)
        (self.pid,) = struct.unpack("q", _exactly(self._connection, 8))

    def poll(self) -> int | None:
        with suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        if self.returncode is None:
            if not select.select([self._connection], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
            try:
                (self.returncode,) = struct.unpack("q", _exactly(self._connection, 8))
            except EOFError:
                self.returncode = -signal.SIGKILL
            self._connection.close()
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


def run(
    module: str, arguments: Sequence[str], folder: Path, environment: Mapping[str, str], timeout: float
) -> subprocess.CompletedProcess[str]:
    """``python -m module arguments``: run to its end, its output captured as text."""
    command = [sys.executable, "-m", module, *arguments]
    server = _server_for(environment)
    if server is None:
        return subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=timeout, check=False
        )
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err, Path(os.devnull).open("rb") as nothing:
        request = Request(module, arguments, str(folder), dict(environment), (0, 1, 2), False)
        process = Forked(server, request, [nothing.fileno(), out.fileno(), err.fileno()])
        try:
            code = process.wait(timeout)
        except subprocess.TimeoutExpired:
            process.kill()
            raise
        said = []
        for file in (out, err):
            file.seek(0)
            said.append(file.read().decode("utf-8"))
    return subprocess.CompletedProcess(command, code, *said)


def start_worker(
    command: Sequence[str], stdin: Any, stdout: Any, stderr: Any, env: Mapping[str, str], pass_fds: Sequence[int],
    process_group: int,
) -> Any:  # fmt: skip
    """In place of ``Popen`` where the package starts a worker."""
    # A worker takes its search path from its parent.
    server = _server_for({**env, "PYTHONPATH": os.environ.get("PYTHONPATH", "")}) if WORKER in command else None
    if server is None:
        return subprocess.Popen(
            command, stdin=stdin, stdout=stdout, stderr=stderr, env=env, pass_fds=pass_fds, process_group=process_group
        )
    arguments = command[command.index(WORKER) + 1 :]
    request = Request(WORKER, arguments, str(Path.cwd()), dict(env), (0, 1, 2, *pass_fds), True)
    return Forked(server, request, [stdin.fileno(), stdout.fileno(), stderr.fileno(), *pass_fds])


def prepare() -> None:
    """Have the workers that this process starts begin as copies. No test reaches a hub but one that asks for it."""
    path = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    os.environ["PYTHONPATH"] = os.pathsep.join(dict.fromkeys([str(ROOT), *filter(None, path)]))
    os.environ.setdefault("HF_HUB_OFFLINE", "1")
    STANDARD.clear()
    STANDARD.update(os.environ)
    _workers_too()


def close() -> None:
    """End the server."""
    for process in _kept:
        process.communicate()


def _workers_too() -> None:
    from dsum_bench.executors import supervisor

    names: Any = SimpleNamespace(Popen=start_worker, TimeoutExpired=subprocess.TimeoutExpired)
    vars(supervisor)["subprocess"] = names


def _server_for(environment: Mapping[str, str]) -> Path | None:
    """Socket of the server, which is started when it is first needed; None where a process must start anew."""
    if fresh or _fixed(environment) != _fixed(STANDARD):
        return None
    return _server()


@cache
def _server() -> Path | None:
    address = Path(tempfile.mkdtemp(prefix="dsum-")) / "server"
    process = subprocess.Popen(
        [sys.executable, __file__, str(address)], env=STANDARD, stdin=subprocess.PIPE, stdout=subprocess.PIPE,
        start_new_session=True,
    )  # fmt: skip
    assert process.stdout is not None
    _kept.append(process)
    if process.stdout.read(1):
        return address
    warnings.warn("the server of prepared processes did not start: every process starts anew", stacklevel=1)
    return None


_kept: list[subprocess.Popen[bytes]] = []
"""The server, which ends when its standard input is closed."""


def _fixed(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name.startswith(FIXED) and value}


def _exactly(connection: socket.socket, count: int) -> bytes:
    data = b""
    while len(data) < count:
        part = connection.recv(count - len(data))
        if not part:
            raise EOFError
        data += part
    return data


# -- the server ---------------------------------------------------------------------------------------------------


def serve(address: Path) -> None:
    """Import what commands and workers import, then fork for each connection until standard input is closed."""
    STANDARD.update(os.environ)
    _load()
    _workers_too()
    globals()["_server"] = lambda: address  # workers of a command come from here too
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    gc.collect()
    gc.freeze()  # or the first collection of each copy would copy its pages
    assert threading.active_count() == 1, threading.enumerate()
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(address))
        listener.listen(64)
        os.write(1, b".")
        while 0 not in select.select([0, listener], [], [])[0]:
            connection, _ = listener.accept()
            if os.fork() == 0:
                listener.close()
                _keep(connection)
            connection.close()
            _bury()
    _bury()
    address.unlink()
    address.parent.rmdir()


def _bury() -> None:
    """Take note of the processes that have ended."""
    with suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass


def _load() -> None:
    import dsum_bench

    for name in PACKAGES:
        importlib.import_module(name)
    for module in pkgutil.walk_packages(dsum_bench.__path__, "dsum_bench."):
        if not module.name.startswith(NOT_LOADED):
            with suppress(ImportError):  # of an extra
                importlib.import_module(module.name)


def _keep(connection: socket.socket) -> None:
    """Make the process that is asked for, and tell its end."""
    header, descriptors, _, _ = socket.recv_fds(connection, 8, 16)
    request = Request(**json.loads(_exactly(connection, *struct.unpack("q", header))))
    pid = os.fork()
    if pid == 0:
        connection.close()
        _become(request, descriptors)
    for descriptor in descriptors:
        os.close(descriptor)
    if request.leads_group:
        with suppress(PermissionError, ProcessLookupError):
            os.setpgid(pid, pid)
    with suppress(BrokenPipeError, ConnectionResetError):
        connection.sendall(struct.pack("q", pid))
        _, status = os.waitpid(pid, 0)
        connection.sendall(struct.pack("q", os.waitstatus_to_exitcode(status)))
    os._exit(0)


def _become(request: Request, descriptors: Sequence[int]) -> None:
    """Be the process that is asked for, from ``python -m`` to its exit code."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    if request.leads_group:
        os.setpgid(0, 0)
    lifted = [fcntl.fcntl(descriptor, fcntl.F_DUPFD, HIGH) for descriptor in descriptors]
    for descriptor in descriptors:
        os.close(descriptor)
    for descriptor, place in zip(lifted, request.places, strict=True):
        os.dup2(descriptor, place)
        os.close(descriptor)
    os.chdir(request.folder)
    os.environ.clear()
    os.environ.update(request.environment)
    sys.path[0] = request.folder
    sys.argv = [request.module, *request.arguments]
    sys.stdin = open(0, encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stdout = open(1, "w", encoding="utf-8", closefd=False)  # noqa: SIM115
    sys.stderr = open(2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False)  # noqa: SIM115
    code = _exit_code(request.module)
    with suppress(Exception):
        threading._shutdown()  # type: ignore[attr-defined]
        atexit._run_exitfuncs()
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError, ValueError):
            stream.flush()
    os._exit(code)


def _exit_code(module: str) -> int:
    try:
        warnings.filterwarnings("ignore", ".*found in sys.modules", RuntimeWarning)
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as error:
        if error.code is None or isinstance(error.code, int):
            return (error.code or 0) & 0xFF
        print(error.code, file=sys.stderr)
        return 1
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


if __name__ == "__main__":
    serve(Path(sys.argv[1]))
