"""What the API needs from the node that serves it. `node/service.py` implements it (structurally: it need not import this module).

The types live in `carbonnode.chain.service`. Every method may raise `chain.service.ServiceRefusal` (its code decides the HTTP status) or any
other `CarbonnodeError` (an `InvalidTransaction` or `ContractError` becomes 400/422 with its code); anything else is a bug and becomes 500.
All answers are about certified heights only. `sender` is the authenticated key of the asker, or `ANONYMOUS`.
"""

from collections.abc import AsyncIterator, Sequence
from typing import Protocol

from carbonnode.chain.service import BlockInfo, ContractAbi, EventRecord, GasEstimate, Health, NodeStatus, SubmitResult, TransactionStatus, VotingSet
from carbonnode.chain.transaction import Call
from carbonnode.chain.values import Value
from carbonnode.ledger.results import ViewResult


class NodeService(Protocol):
    """A running node, seen by its clients."""

    @property
    def chain_id(self) -> bytes:
        """32 bytes."""
        ...

    def now_ms(self) -> int:
        """The node's clock, ms since the epoch: for the window of signed requests."""
        ...

    async def status(self) -> NodeStatus:
        """The node at a glance; cheap, asked often."""
        ...

    async def validators(self) -> VotingSet:
        """Who votes now, and next."""
        ...

    async def health(self) -> Health:
        """Liveness and readiness; never raises."""
        ...

    async def metrics(self) -> bytes:
        """Prometheus text exposition format 0.0.4."""
        ...

    async def genesis(self) -> bytes:
        """The genesis file's bytes (JSON)."""
        ...

    async def block(self, height: int) -> BlockInfo:
        """A certified block. Refuses `not-found` above the certified height, `pruned` below what this node keeps."""
        ...

    async def blocks(self, first: int, count: int) -> Sequence[BlockInfo]:
        """Up to `count` (at most 100) certified blocks from height `first` upwards; fewer where the chain ends."""
        ...

    async def submit(self, raw: Sequence[bytes]) -> Sequence[SubmitResult]:
        """Admit wire transactions (at most 2,000); one result each, in order; a bad one doesn't harm the others."""
        ...

    async def transactions(self, tx_ids: Sequence[bytes], *, wait_ms: int, sender: bytes) -> Sequence[TransactionStatus]:
        """Status of each (at most 2,000). With `wait_ms` > 0 returns when all are final, expired or unknown, or after that time."""
        ...

    async def proof(self, tx_id: bytes) -> bytes:
        """The proof file (`chain.proof.TransactionProof.to_json`) of a final transaction. Refuses `not-found`, `not-ready` (not final yet)."""
        ...

    async def contracts(self) -> Sequence[str]:
        """Names of the installed contracts, sorted."""
        ...

    async def abi(self, contract: str) -> ContractAbi:
        """The interface of a contract. Refuses `not-found`."""
        ...

    async def query(self, contract: str, view: str, args: tuple[Value, ...], *, sender: bytes, height: int | None) -> ViewResult:
        """Run a view at a certified height (the last by default). Refuses `not-found`, `pruned`, `forbidden`, `busy`; a view that aborts is an answer."""
        ...

    async def estimate(self, calls: Sequence[Call], *, sender: bytes) -> GasEstimate:
        """A dry run, on the last certified state, of calls that `check_calls` admits, as `sender`, who is authenticated. Refuses `busy`, `not-ready`.

        It answers what the sender's transaction would learn of them, and neither values nor events; a refusal by the contract is an answer.
        """
        ...

    async def entity_of(self, key: bytes) -> str:
        """The entity id that `key` acts for, or "" when it is none's."""
        ...

    async def events(self, entity: str, first: int, last: int) -> Sequence[EventRecord]:
        """Certified events of heights `first` to `last` (at most 1,000 heights), in order: public ones and, if `entity` isn't "", its own."""
        ...

    def subscribe(self, entity: str, first_height: int | None) -> AsyncIterator[EventRecord]:
        """Certified events, public ones and, if `entity` isn't "", those addressed to it; from `first_height` on, or from now.

        The iterator ends when the node stops, and is closed by its reader. A reader that is too slow gets `ServiceRefusal("overloaded")`.
        """
        ...
