"""What the parts of the daemon ask of each other, as protocols: the executor process, the network, the clock."""

from collections.abc import Callable, Collection, Sequence
from typing import Protocol

from carbonnode.chain.batch import Batch, SkipOrder
from carbonnode.chain.service import ContractAbi
from carbonnode.chain.transaction import Call
from carbonnode.chain.values import Value
from carbonnode.ledger.results import DryRun, ExecutedBlock, LedgerStatus, NextEpoch, ViewResult
from carbonnode.network import Channel


class ExecutorPort(Protocol):
    """The executor process, seen from the daemon. Every call may raise `CarbonnodeError`; a dead process is a `StorageError`."""

    confinement: tuple[str, ...]
    """What confines the process, or doesn't, one line for each means."""
    held_bytes: int
    """About the memory that blocks take in it which aren't on disk."""

    async def execute(self, height: int, batch: Batch, transactions: Sequence[bytes], skip_orders: Sequence[SkipOrder] = ()) -> ExecutedBlock:
        """Execute on top of height - 1, in memory. Idempotent."""
        ...

    async def finalise(self, height: int) -> int:
        """Write the executed block of `height` to the state database; returns the height known to be synced."""
        ...

    async def flush(self) -> int:
        """Sync the state database; returns the height known to be synced."""
        ...

    async def discard_above(self, height: int) -> None:
        """Drop executed blocks above `height`."""
        ...

    async def status(self) -> LedgerStatus:
        """Where the state stands."""
        ...

    async def genesis_block(self) -> ExecutedBlock:
        """The genesis block, the same every time."""
        ...

    async def epochs(self) -> tuple[NextEpoch, NextEpoch | None]:
        """The epoch in force in the last finalised state, and the one decided to follow it."""
        ...

    async def query(self, contract: str, view: str, args: tuple[Value, ...], sender: bytes, height: int | None = None) -> ViewResult:
        """Run a view on certified state."""
        ...

    async def estimate(self, calls: Sequence[Call], sender: bytes) -> DryRun:
        """A dry run of calls on the last certified state."""
        ...

    async def abi(self, name: str, height: int | None = None) -> ContractAbi | None:
        """The interface of an installed contract, None if there is none of that name."""
        ...

    async def contracts(self) -> tuple[str, ...]:
        """Names of the installed contracts."""
        ...


class Sender(Protocol):
    """The part of `Network` that sends."""

    def send(self, peer_name: str, channel: Channel, frame: bytes) -> bool:
        """Queue a frame for a peer."""
        ...

    def broadcast(self, channel: Channel, frame: bytes, to: Collection[str] | None = None) -> int:
        """Queue a frame for peers."""
        ...

    async def request(self, peer_name: str, kind: int, payload: bytes, timeout: float) -> bytes:  # noqa: ASYNC109 - as the network's own
        """Ask a peer."""
        ...

    def report(self, peer_name: str, points: int, why: str) -> None:
        """Score a peer's fault."""
        ...


class Clock(Protocol):
    """Time, passed in so that tests can turn it."""

    def monotonic_ms(self) -> int:
        """Milliseconds that never go back."""
        ...

    def wall_ms(self) -> int:
        """Milliseconds since 1970."""
        ...


Fatal = Callable[[BaseException], None]
"""Called once with what makes it impossible to go on; the node then stops loudly."""
