"""The cluster as the command sees it: reached, its nodes asked what they are, and held to what runs here."""

from __future__ import annotations

import signal
import socket
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

from dsum_bench.errors import UserError, first_line
from dsum_bench.executors.base import NodeState
from dsum_bench.figures import size
from dsum_bench.machine import Gpu, Machine
from dsum_bench_ray import probe as probing

REACH_SECONDS = 20.0
ANSWER_SECONDS = 120.0
"""A node that has not said by then what it is, is left out; its first worker process has to start for it."""


@dataclass(frozen=True, slots=True)
class Node:
    """A node of the cluster. problem: why it cannot be used, '' where it can. machine: None where it did not say."""

    key: str
    name: str
    cpus: int
    gpus: int
    problem: str = ""
    machine: Machine | None = None

    @property
    def kinds(self) -> tuple[str, ...]:
        """``cpu`` once where it has one for us, and ``gpu`` for each."""
        return ("cpu",) * bool(self.cpus) + ("gpu",) * self.gpus


def connect(address: str) -> None:
    """Reach the cluster at an address, that of RAY_ADDRESS, one that runs on this machine, or start one here.

    Raises:
        UserError: there is none at the address, or it has another version of Ray or Python.
    """
    try:
        import ray
    except ImportError as error:
        raise UserError("executor 'ray' needs Ray: pip install ray") from error
    if ray.is_initialized():
        return
    _reach(address)
    with _signals_kept():
        try:
            ray.init(address=address or None, log_to_driver=False, logging_level="ERROR", include_dashboard=False)
        except (ConnectionError, RuntimeError, ValueError, OSError, TimeoutError) as error:
            where = f" at {address}" if address else ""
            raise UserError(f"no Ray cluster can be used{where}: {first_line(error)}") from error


def _reach(address: str) -> None:
    """Raise UserError where nothing listens at an address; Ray itself would try for ten minutes."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdecimal():
        return  # a name that Ray understands, such as auto
    try:
        socket.create_connection((host.strip("[]"), int(port)), REACH_SECONDS).close()
    except OSError as error:
        raise UserError(f"no Ray cluster can be used at {address}: {error.strerror or error}") from error


def alive() -> dict[str, Mapping[str, Any]]:
    """Key -> what Ray says of each node that is alive."""
    import ray

    return {node["NodeID"]: node for node in ray.nodes() if node["Alive"]}


def look(known: Mapping[str, Node]) -> dict[str, Node]:
    """The nodes that are alive, those that are not known yet asked what they are."""
    import ray
    from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

    there = alive()
    function = ray.remote(by_value())
    asked = {
        key: function.options(
            num_cpus=0, max_retries=0, scheduling_strategy=NodeAffinitySchedulingStrategy(key, soft=False)
        ).remote()
        for key in there
        if key not in known
    }
    if asked:
        ray.wait(list(asked.values()), num_returns=len(asked), timeout=ANSWER_SECONDS)
    mine = probing.probe()
    found = {key: known[key] for key in there if key in known}
    for key, answer in asked.items():
        found[key] = _node(key, there[key], _answer(answer), mine)
    return found


def by_value() -> Any:
    """The question to nodes, as a function that carries its own code."""
    from ray import cloudpickle

    cloudpickle.register_pickle_by_value(probing)
    return probing.probe


def machine(nodes: Mapping[str, Node]) -> Machine:
    """What models are planned for: the GPUs of the node with the freest one, the memory of the node with most of it.

    Whether a model fits the node that takes it is planned there once more.
    """
    usable = [node.machine for node in nodes.values() if node.machine is not None and not node.problem]
    if not usable:
        raise UserError(nobody(nodes))
    freest = max(usable, key=lambda m: max((gpu.free_bytes for gpu in m.gpus), default=0))
    roomy = max(usable, key=lambda m: m.free_bytes)
    return Machine(roomy.cpus, roomy.total_bytes, roomy.free_bytes, freest.gpus)


def nobody(nodes: Mapping[str, Node]) -> str:
    """What to say where no node can be used."""
    told = "; ".join(f"{node.name}: {node.problem}" for node in nodes.values() if node.problem)
    return f"no node of the Ray cluster can be used{f': {told}' if told else ''}"


def states(nodes: Mapping[str, Node]) -> list[NodeState]:
    """The nodes for ``doctor``."""
    return [NodeState(node.name, not node.problem, node.problem or _told(node)) for node in nodes.values()]


def mismatch(there: Mapping[str, Any], here: Mapping[str, Any]) -> str:
    """What differs between a node and this machine that would make their outputs differ, '' for nothing."""
    if there.get("problem"):
        return str(there["problem"])
    told = []
    for name, mine, its in (
        ("dsum-bench", here["dsum-bench"], there["dsum-bench"]),
        *((n, here["plugins"].get(n), there["plugins"].get(n)) for n in sorted({*here["plugins"], *there["plugins"]})),
    ):
        if mine is None:
            continue  # a plugin that is not here is used by nobody
        if its is None:
            told.append(f"{name} {mine} is installed here and not there")
        elif its != mine:
            told.append(f"{name} {its} is installed there and {mine} here")
    return f"{'; '.join(told)}: install the same on both" if told else ""


def _answer(reference: Any) -> dict[str, Any]:
    import ray

    try:
        found: dict[str, Any] = ray.get(reference, timeout=0.1)
        return found
    except ray.exceptions.GetTimeoutError:
        return {"problem": f"it did not answer within {ANSWER_SECONDS:.0f} seconds"}
    except Exception as error:  # whatever goes wrong there must not end the command
        return {"problem": f"it cannot be asked ({type(error).__name__}: {first_line(error)})"}


def _node(key: str, said: Mapping[str, Any], answer: Mapping[str, Any], here: Mapping[str, Any]) -> Node:
    has = said["Resources"]
    problem = mismatch(answer, here)
    found = None
    if "machine" in answer:
        told = answer["machine"]
        found = Machine(**{**told, "gpus": tuple(Gpu(**gpu) for gpu in told["gpus"])})
    name = f"{answer.get('host') or said.get('NodeManagerHostname') or 'node'}-{key[:6]}"
    return Node(key, name, int(has.get("CPU", 0)), int(has.get("GPU", 0)), problem, found)


def _told(node: Node) -> str:
    if node.machine is None:
        return ""
    gpus = ", ".join(f"{gpu.name}, {size(gpu.free_bytes)} free" for gpu in node.machine.gpus)
    cores = f"{node.cpus} CPU core{'s' * (node.cpus != 1)} for Ray"
    memory = f"{size(node.machine.free_bytes)} free of {size(node.machine.total_bytes)}"
    return f"{cores}, {memory}, {gpus or 'no GPU'}; the same versions as here"


@contextmanager
def _signals_kept() -> Iterator[None]:
    """Ray answers SIGTERM in its own way; how a sweep ends stays the business of who runs it."""
    kept = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in kept.items():
            with suppress(ValueError, TypeError):  # not the main thread, or a handler that Python does not know
                signal.signal(number, handler)
