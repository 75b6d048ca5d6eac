"""What tests of real networks under fire share: a network with payments going on, and questions to its nodes."""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from tests.functional.fire_load import Payer
from tests.functional.harness import HTTP, NodeHandle, ToyNetwork
from tests.functional.proxy import FaultyLinks


@contextmanager
def burning(directory: Path, *, validators: int = 4, links: FaultyLinks | None = None) -> Iterator[Payer]:
    """A network with payments going on; at the end it is healed, stopped, and everything it left is checked."""
    with paying(ToyNetwork(directory, validators=validators, links=links), links.heal if links is not None else None) as payer:
        yield payer


@contextmanager
def paying(net: ToyNetwork, heal: Callable[[], None] | None) -> Iterator[Payer]:
    """The same for a network that was made already; `heal` mends its links."""
    try:
        net.up()
        net.wait_height(1)
        payer = Payer(net)
        try:
            yield payer
        finally:
            payer.close()
    finally:
        if heal is not None:
            heal()
        net.down()


def status_of(node: NodeHandle) -> dict[str, Any]:
    """`/v1/status` of a node that must answer."""
    status = node.status()
    assert status is not None, f"{node.name} doesn't answer"
    return status


def ready(node: NodeHandle) -> bool:
    """Whether the node says that it serves and votes."""
    return HTTP.get(f"{node.url}/readyz", timeout=5.0).status_code == 200


def linked(node: NodeHandle) -> int:
    """How many others a node is linked to, by its own account."""
    return int(status_of(node)["peers"])


def view(node: NodeHandle) -> int:
    """The view it is in."""
    return int(status_of(node)["view"])


def primary(net: ToyNetwork, among: Sequence[NodeHandle] = ()) -> NodeHandle:
    """Whom most believe to lead."""
    named = [status["primary"] for node in among or net.running if (status := node.status()) is not None]
    return net.nodes[max(set(named), key=named.count)]


def others(net: ToyNetwork, *left_out: NodeHandle) -> list[NodeHandle]:
    """All validators but these."""
    return [node for node in net.validators if node not in left_out]


def grows(net: ToyNetwork, nodes: Sequence[NodeHandle], blocks: int = 3, timeout_s: float = 60.0) -> None:
    """These nodes certify further blocks."""
    net.wait_height(max(node.height for node in nodes) + blocks, [node.name for node in nodes], timeout_s)
