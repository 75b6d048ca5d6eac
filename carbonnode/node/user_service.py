"""What a user node's HTTP API is given: `api.ports.NodeService` over a `UserNode`.

Blocks, events, own transactions and proofs come from what the node verified itself; views and submissions go to validators.
"""

import asyncio
import os
from collections.abc import AsyncIterator, Sequence
from functools import partial

from carbonnode import __version__
from carbonnode.chain import values
from carbonnode.chain.codec import decode, encode
from carbonnode.chain.event import Event
from carbonnode.chain.header import Header
from carbonnode.chain.merkle import inclusion_path, leaf_hash
from carbonnode.chain.proof import PROOF_VERSION, LeafPath, TransactionProof, parse_proof, verify_proof
from carbonnode.chain.receipt import Receipt, Status
from carbonnode.chain.service import (
    EXPIRED,
    PENDING,
    REFUSED,
    UNKNOWN,
    BlockInfo,
    ContractAbi,
    EventRecord,
    GasEstimate,
    Health,
    HealthCheck,
    NodeStatus,
    PeerStatus,
    ServiceRefusal,
    SubmitResult,
    TransactionStatus,
    VotingSet,
)
from carbonnode.chain.transaction import Call, Transaction, calls_to_wire
from carbonnode.chain.values import Value, from_wire
from carbonnode.errors import InvalidTransaction, RemoteError
from carbonnode.ledger.results import ViewResult
from carbonnode.network import Network
from carbonnode.node.config import NodeConfig
from carbonnode.node.feed import BlockEvents
from carbonnode.node.history import final_status
from carbonnode.node.organisations import CONTRACT, VIEW
from carbonnode.node.ports import Clock
from carbonnode.node.turns import in_turns
from carbonnode.node.user_node import UserNode
from carbonnode.node.wire import (
    AbiRequest,
    EstimateAnswer,
    EstimateRequest,
    Names,
    Raws,
    RequestKind,
    StatusAnswers,
    SubmitAnswers,
    UserBlock,
    ViewRequest,
    decode_payload,
)

MAX_BLOCKS = 100
MAX_EVENT_HEIGHTS = 1_000
MAX_BATCH = 2_000
MAX_WAIT_MS = 60_000
STALE_MS = 15_000
_REMOTE_CODES = {
    "not-connected": "not-ready",
    "closed": "not-ready",
    "timeout": "timeout",
    "busy": "busy",
    "not-found": "not-found",
    "pruned": "pruned",
    "forbidden": "forbidden",
    "unknown-request": "not-available",
}


class UserService:
    """See `api.ports.NodeService` for what each method promises."""

    def __init__(self, node: UserNode, network: Network, config: NodeConfig, clock: Clock, genesis: bytes) -> None:
        self._node = node
        self._network = network
        self._config = config
        self._clock = clock
        self._genesis = genesis
        self._offset: tuple[int, int] = (-1, 0)

    @property
    def chain_id(self) -> bytes:
        """32 bytes."""
        return self._node.genesis.chain_id

    def now_ms(self) -> int:
        """Wall clock."""
        return self._clock.wall_ms()

    async def _ask(self, kind: int, payload: bytes) -> bytes:
        try:
            return await self._node.ask(kind, payload)
        except RemoteError as error:
            if error.code in _REMOTE_CODES:
                raise ServiceRefusal(str(error), code=_REMOTE_CODES[error.code]) from None
            raise

    # -- the node -----------------------------------------------------------------------------------------------------------------------

    async def status(self) -> NodeStatus:
        """The node at a glance."""
        node, store, genesis = self._node, self._node.store, self._node.genesis
        header = decode(store.block(store.height).header, Header) if store.height >= 0 else None
        parameters = genesis.parameters
        return NodeStatus(
            name=self._config.node.name,
            role=self._config.node.role,
            entity=store.trail.organisation,
            network=genesis.network,
            version=__version__,
            pid=os.getpid(),
            chain_id=genesis.chain_id,
            epoch=0 if header is None else header.epoch,
            height=store.height,
            header_hash=store.trail.header_hash,
            state_root=b"" if header is None else header.state_root,
            block_time_ms=genesis.time_ms if header is None else header.time_ms,
            time_ms=await self._market_ms(header),
            view=0,
            primary="",
            syncing=node.syncing,
            mempool=0,
            evidence=0,
            oldest_height=0,
            validity_blocks=parameters.validity_blocks,
            max_transaction_gas=parameters.max_transaction_gas,
            test_clock=genesis.test_clock,
            peers=tuple(
                PeerStatus(p.name, p.role, p.connected, None, round(p.rtt_ms) if p.rtt_ms >= 0 else None) for p in self._network.peers()
            ),
            warnings=() if node.linked else ("cut off: no validator is connected",),
        )

    async def _market_ms(self, header: Header | None) -> int:
        """Market time, from the clock that validators tell; the last known offset while cut off."""
        block_ms = self._node.genesis.time_ms if header is None else header.time_ms
        height = self._node.store.height
        if self._offset[0] != height and self._node.linked:
            try:
                result = await self.query("rules", "clock", (), sender=bytes(32), height=None)
            except (ServiceRefusal, RemoteError):
                return block_ms + self._offset[1]
            value = from_wire(result.value) if result.status == Status.OK else None
            if isinstance(value, tuple) and len(value) == 2 and isinstance(value[1], int):
                self._offset = (height, value[1])
        return block_ms + self._offset[1]

    async def validators(self) -> VotingSet:
        """Who votes, as traced from genesis; of the next set a user node hears when it begins."""
        store = self._node.store
        changes = store.changes(store.height + 1)
        first = decode(changes[-1].header, Header).height + 1 if changes else 1
        epoch = decode(store.block(store.height).header, Header).epoch if store.height >= 0 else 0
        return VotingSet(epoch, first, store.trail.validators.validators)

    async def health(self) -> Health:
        """Liveness and readiness."""
        node = self._node
        height = node.store.height
        age_ms = self.now_ms() - decode(node.store.block(height).header, Header).time_ms if height > 0 else 0
        checks = (
            HealthCheck("peers", bool(node.linked), f"{len(node.linked)} validators are connected"),
            HealthCheck("progress", height >= 0 and age_ms < STALE_MS, f"the last verified block is {height}, {age_ms} ms old"),
        )
        return Health(live=True, ready=all(check.ok for check in checks), checks=checks)

    async def metrics(self) -> bytes:
        """Prometheus text."""
        return self._node.metrics.render()

    async def genesis(self) -> bytes:
        """The genesis file."""
        return self._genesis

    # -- blocks and transactions --------------------------------------------------------------------------------------------------------

    def _block(self, height: int) -> UserBlock:
        if not 0 <= height <= self._node.store.height:
            raise ServiceRefusal(f"this node has verified blocks 0 to {self._node.store.height}, not {height}", code="not-found")
        return self._node.store.block(height)

    async def block(self, height: int) -> BlockInfo:
        """A verified block; of its transactions only the own ones are known to be OK, and gas isn't known."""
        block = self._block(height)
        header = decode(block.header, Header)
        ok = sum(1 for own in block.transactions if decode(own.receipt, Receipt).status == Status.OK)
        jobs = max(0, len(block.receipt_leaves) - block.transaction_count)
        return BlockInfo(
            header=header,
            header_hash=header.hash,
            certificate=block.certificate,
            transactions=block.transaction_count,
            ok=ok,
            jobs=jobs,
            events=len(block.event_leaves),
            size_bytes=0,
            gas_used=0,
        )

    async def blocks(self, first: int, count: int) -> Sequence[BlockInfo]:
        """Verified blocks."""
        last = min(first + min(count, MAX_BLOCKS) - 1, self._node.store.height)
        return [await self.block(height) for height in range(max(first, 0), last + 1)]

    async def submit(self, raw: Sequence[bytes]) -> Sequence[SubmitResult]:
        """Forward to a validator; what it took is followed until it is settled."""
        if len(raw) > MAX_BATCH:
            raise ServiceRefusal(f"{len(raw)} transactions in one call, at most {MAX_BATCH}: split them", code="bad-request")
        results: list[SubmitResult | None] = [None] * len(raw)
        good: list[tuple[int, Transaction]] = []
        for index, item in enumerate(raw):
            try:
                good.append((index, Transaction.decode(item)))
            except InvalidTransaction as error:
                results[index] = SubmitResult(b"", REFUSED, error.code, str(error))
        if good:
            payload = encode(Raws(tuple([tx.raw for _, tx in good])))
            answers = decode_payload(await self._ask(RequestKind.SUBMIT, payload), SubmitAnswers).answers
            for (index, tx), answer in zip(good, answers, strict=True):
                results[index] = SubmitResult(tx.id, answer.status, answer.code, answer.message)
                if answer.status != REFUSED and self._node.store.place(tx.id) is None:
                    self._node.store.remember(tx.id, tx.raw)
        return [result for result in results if result is not None]

    async def transactions(self, tx_ids: Sequence[bytes], *, wait_ms: int, sender: bytes) -> Sequence[TransactionStatus]:
        """Statuses; final means that this node verified it."""
        if len(tx_ids) > MAX_BATCH:
            raise ServiceRefusal(f"{len(tx_ids)} ids in one call, at most {MAX_BATCH}: split them", code="bad-request")
        entity = self._node.store.trail.organisation if any(sender) and await self.entity_of(sender) == self._node.store.trail.organisation else ""
        found: dict[bytes, TransactionStatus] = {}
        loop = asyncio.get_running_loop()
        deadline = loop.time() + min(wait_ms, MAX_WAIT_MS) / 1000
        left = list(dict.fromkeys(tx_ids))
        while True:
            await self._statuses(left, entity, found)
            left = [tx_id for tx_id in left if found[tx_id].status not in ("final", EXPIRED, UNKNOWN)]
            remaining = deadline - loop.time()
            if not left or remaining <= 0 or not await self._node.feed.next_block(remaining):
                break
        return [found[tx_id] for tx_id in tx_ids]

    async def _statuses(self, tx_ids: list[bytes], entity: str, found: dict[bytes, TransactionStatus]) -> None:
        elsewhere: list[bytes] = []
        async for tx_id in in_turns(tx_ids):
            status = self._verified_status(tx_id, entity)
            if status is None:
                elsewhere.append(tx_id)
            else:
                found[tx_id] = status
        if not elsewhere:
            return
        told: dict[bytes, str] = {}
        if self._node.linked:
            try:
                answer = await self._node.ask(RequestKind.TRANSACTION_STATUS, encode(Raws(tuple(elsewhere))))
                told = {item.tx_id: item.status for item in decode_payload(answer, StatusAnswers).answers}
            except RemoteError:
                told = {}
        for tx_id in elsewhere:
            status_text = told.get(tx_id, PENDING if self._node.store.is_pending(tx_id) else UNKNOWN)
            # What a validator calls final is only ordered here until this node has verified it.
            found[tx_id] = TransactionStatus(tx_id, "ordered" if status_text == "final" and self._node.store.is_pending(tx_id) else _known(status_text))

    def _verified_status(self, tx_id: bytes, entity: str) -> TransactionStatus | None:
        place = self._node.store.place(tx_id)
        if place is not None:
            block = self._node.store.block(place.height)
            own = block.transactions[place.index]
            receipt = decode(own.receipt, Receipt)
            indices = range(receipt.event_index, receipt.event_index + receipt.event_count)
            events = [decode(item.event, Event) for item in block.events if item.index in indices]
            return final_status(receipt, place.height, events, entity)
        proof = self._node.store.proof(tx_id)
        if proof is None:
            return None
        verified = verify_proof(parse_proof(proof), self._node.genesis)
        return final_status(verified.receipt, verified.header.height, (), "")

    async def proof(self, tx_id: bytes) -> bytes:
        """A proof file, made from what this node verified."""
        place = self._node.store.place(tx_id)
        if place is None:
            stored = self._node.store.proof(tx_id)
            if stored is not None:
                return stored
            if self._node.store.is_pending(tx_id):
                raise ServiceRefusal("the transaction isn't final yet: wait for its block to be certified", code="not-ready")
            raise ServiceRefusal(f"transaction {tx_id.hex()} isn't one of this node's: ask the node of its owner", code="not-found")
        block = self._node.store.block(place.height)
        if block.certificate is None:
            raise ServiceRefusal("genesis has no certificate: it is the root of trust", code="not-found")
        own = block.transactions[place.index]
        leaves = [leaf_hash(wire_hash) for wire_hash in block.wire_hashes]
        receipt_index = len(block.receipt_leaves) - block.transaction_count + own.index
        return TransactionProof(
            version=PROOF_VERSION,
            chain_id=self.chain_id,
            transaction=own.raw,
            transaction_path=LeafPath(own.index, len(leaves), inclusion_path(leaves, own.index)),
            receipt=own.receipt,
            receipt_salt=own.receipt_salt,
            receipt_path=LeafPath(receipt_index, len(block.receipt_leaves), inclusion_path(block.receipt_leaves, receipt_index)),
            header=block.header,
            certificate=block.certificate,
            validator_changes=self._node.store.changes(place.height),
        ).to_json()

    # -- contracts ----------------------------------------------------------------------------------------------------------------------

    async def contracts(self) -> Sequence[str]:
        """Names of contracts, as a validator tells them."""
        return decode_payload(await self._ask(RequestKind.ABI, encode(AbiRequest(""))), Names).names

    async def abi(self, contract: str) -> ContractAbi:
        """A contract's interface, as a validator tells it."""
        if not contract:
            raise ServiceRefusal("name a contract", code="bad-request")
        found: ContractAbi | None = decode_payload(await self._ask(RequestKind.ABI, encode(AbiRequest(contract))), ContractAbi | None)  # type: ignore[arg-type]
        if found is None:
            raise ServiceRefusal(f"there is no contract {contract!r}: list them with /v1/contracts", code="not-found")
        return found

    async def query(self, contract: str, view: str, args: tuple[Value, ...], *, sender: bytes, height: int | None) -> ViewResult:
        """Run a view on a validator."""
        encoded = tuple([values.encode_value(arg) for arg in args])
        request = ViewRequest(contract, view, encoded, sender, -1 if height is None else height)
        return decode_payload(await self._ask(RequestKind.VIEW, encode(request)), ViewResult)

    async def estimate(self, calls: Sequence[Call], *, sender: bytes) -> GasEstimate:
        """A dry run of calls, on a validator."""
        answer = decode_payload(await self._ask(RequestKind.ESTIMATE, encode(EstimateRequest(calls_to_wire(calls), sender))), EstimateAnswer)
        run = answer.run
        return GasEstimate(run.height, Status(run.status).name, run.code, run.gas_used, run.gas_limit, answer.waiting)

    async def entity_of(self, key: bytes) -> str:
        """The organisation that a key acts for, "" also while nobody can be asked."""
        try:
            result = await self.query(CONTRACT, VIEW, (), sender=key, height=None)
        except (ServiceRefusal, RemoteError):
            return ""
        value = from_wire(result.value) if result.status == Status.OK else None
        return value[1] if isinstance(value, tuple) and len(value) >= 2 and isinstance(value[1], str) else ""

    # -- events -------------------------------------------------------------------------------------------------------------------------

    async def events(self, entity: str, first: int, last: int) -> Sequence[EventRecord]:
        """Events of verified blocks."""
        last = min(last, first + MAX_EVENT_HEIGHTS - 1, self._node.store.height)
        return [record async for block in self._past(first, last) for record in block.visible_to(entity)]

    def _past(self, first: int, last: int) -> AsyncIterator[BlockEvents]:
        return in_turns(self._events_at(height) for height in range(max(first, 0), last + 1))

    def _events_at(self, height: int) -> BlockEvents:
        block = self._node.store.block(height)
        return BlockEvents(height, decode(block.header, Header).time_ms, tuple([(own.index, decode(own.event, Event)) for own in block.events]))

    def subscribe(self, entity: str, first_height: int | None) -> AsyncIterator[EventRecord]:
        """Events from a height on, or from now."""
        store = self._node.store

        def past(first: int) -> AsyncIterator[BlockEvents]:
            return self._past(max(first, store.height - MAX_EVENT_HEIGHTS), store.height)

        return self._node.feed.follow(entity, None if first_height is None else partial(past, first_height))


def _known(status: str) -> str:
    return status if status in (PENDING, "ordered", EXPIRED) else UNKNOWN
