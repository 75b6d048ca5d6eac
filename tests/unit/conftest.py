"""A node in memory that serves the API's port: for tests of the API, the SDK and the command line, without consensus or storage."""

import asyncio
import time
from collections.abc import AsyncIterator, Sequence

import msgspec
import pytest

from carbonnode.chain.batch import NULL_BATCH
from carbonnode.chain.certificate import Certificate, sign_checkpoint
from carbonnode.chain.event import Event
from carbonnode.chain.genesis import ContractSource, Genesis
from carbonnode.chain.header import PROTOCOL_VERSION, Header
from carbonnode.chain.merkle import inclusion_path, leaf_hash, tree_head
from carbonnode.chain.proof import PROOF_VERSION, LeafPath, TransactionProof
from carbonnode.chain.receipt import Receipt, Status
from carbonnode.chain.service import (
    FINAL,
    PENDING,
    REFUSED,
    UNKNOWN,
    BlockInfo,
    ContractAbi,
    EventRecord,
    GasEstimate,
    Health,
    HealthCheck,
    MethodAbi,
    NodeStatus,
    PeerStatus,
    ServiceRefusal,
    SubmitResult,
    TransactionStatus,
    VotingSet,
)
from carbonnode.chain.signing import KeySigner
from carbonnode.chain.transaction import Call, Transaction
from carbonnode.chain.validators import Validator
from carbonnode.chain.values import Value, to_wire
from carbonnode.errors import InvalidTransaction
from carbonnode.ledger.results import ViewResult
from carbonnode.local.chain import LocalRefusal
from carbonnode.local.market import LocalMarket
from carbonnode.local.ruleset import load

NAMES = (("super-1", "super"), ("super-2", "super"), ("coordination-1", "coordination"), ("coordination-2", "coordination"))
VALIDATORS = tuple(Validator(name, role, KeySigner(bytes([i + 1]) * 32).public_key, bytes([i + 101]) * 32) for i, (name, role) in enumerate(NAMES))
ABIS = {
    "cash": ContractAbi(
        "cash",
        b"\x01" * 32,
        (
            MethodAbi("deposit", "export", (("entity", "str"), ("amount_fen", "int"), ("ref", "str"))),
            MethodAbi("fail", "export", ()),
            MethodAbi("balance", "view", (("entity", "str"),), "tuple"),
            MethodAbi("conserved", "view", (), "bool"),
        ),
    ),
    "matching": ContractAbi(
        "matching",
        b"\x02" * 32,
        (
            MethodAbi("place", "export", (("book", "str"), ("side", "str"), ("price_fen", "int"), ("quantity_t", "int"), ("ref", "str"))),
            MethodAbi("market", "view", ()),
            MethodAbi("books", "view", ()),
            MethodAbi("quote", "view", (("book", "str"),)),
            MethodAbi("depth", "view", (("book", "str"), ("levels", "int"))),
            MethodAbi("close_of", "view", (("book", "str"), ("day", "int"))),
        ),
    ),
    "echo": ContractAbi(
        "echo",
        b"\x03" * 32,
        (MethodAbi("back", "view", (("i", "int"), ("s", "str"), ("b", "bytes"), ("f", "bool"), ("t", "tuple"))), MethodAbi("whoami", "view", ())),
    ),
}
MARKET: dict[tuple[str, ...], Value] = {
    ("market",): (20411, "open", False, 1, 2, 3, 4),
    ("books",): ("CEA-2024",),
    ("quote", "CEA-2024"): (6196, 5577, 6815, 6200, 6250, 6190, 6210, 300, 1863000, 2),
    ("depth", "CEA-2024"): ("B", 6200, 10, "B", 6190, 5, "S", 6210, 7),
}


def make_genesis() -> Genesis:
    """Four validators, one contract that is never run here."""
    source = ContractSource("cash", '"""A till."""\n')
    return Genesis(network="unit", time_ms=1_000, validators=VALIDATORS, ca_roots=(), contracts=(source,), test_clock=True)


class FakeNode:
    """A node whose every submitted transaction is final at once in a block of its own, certified by three real signatures."""

    def __init__(self) -> None:
        self.genesis_data = make_genesis()
        self.chain_id = self.genesis_data.chain_id
        self.height = 7
        self.ready = True
        self.hold = False
        self.full = False
        self.found: dict[bytes, tuple[Transaction, Receipt, int]] = {}
        self.entities: dict[bytes, str] = {}
        self.records: list[EventRecord] = []
        self.news = asyncio.Event()
        self.queried: list[tuple[str, str, tuple[Value, ...], bytes, int | None]] = []
        self.explode = False
        self.estimated: list[tuple[tuple[Call, ...], bytes]] = []
        self.estimate_refusal: Exception | None = None
        self.answers = dict(MARKET)

    def now_ms(self) -> int:
        return time.time_ns() // 1_000_000

    async def status(self) -> NodeStatus:
        if self.explode:
            raise RuntimeError("secret inside")
        return NodeStatus(
            name="super-1",
            role="super",
            entity="EXCHANGE-1",
            network="unit",
            version="0.1.0",
            pid=1,
            chain_id=self.chain_id,
            epoch=0,
            height=self.height,
            header_hash=b"\xaa" * 32,
            state_root=b"\xbb" * 32,
            block_time_ms=5_000,
            time_ms=6_000,
            view=0,
            primary="super-1",
            syncing=False,
            mempool=0,
            evidence=0,
            oldest_height=0,
            validity_blocks=1_000,
            max_transaction_gas=200_000_000,
            test_clock=True,
            peers=(PeerStatus("super-2", "super", True, 7, 1), PeerStatus("coordination-2", "coordination", False)),
        )

    async def health(self) -> Health:
        return Health(True, self.ready, (HealthCheck("consensus", self.ready, "" if self.ready else "no quorum: start another validator"),))

    async def metrics(self) -> bytes:
        return b"# TYPE carbonnode_height gauge\ncarbonnode_height 7\n"

    async def genesis(self) -> bytes:
        return self.genesis_data.to_json()

    def header(self, height: int, transactions_root: bytes = bytes(32), receipts_root: bytes = bytes(32)) -> Header:
        known = self.genesis_data
        roots = (transactions_root, receipts_root, tree_head([]), bytes(32))
        hashes = (known.validators.hash, known.validators.hash, known.parameters.hash)
        return Header(PROTOCOL_VERSION, self.chain_id, 0, height, bytes(32), NULL_BATCH.digest, 5_000, *roots, *hashes, ())

    def certificate(self, header: Header) -> Certificate:
        signers = [(i, KeySigner(bytes([i + 1]) * 32)) for i in range(3)]
        votes = tuple((i, sign_checkpoint(s, self.chain_id, 0, header.height, header.hash)) for i, s in signers)
        return Certificate(0, header.height, header.hash, votes)

    async def block(self, height: int) -> BlockInfo:
        if height > self.height:
            raise ServiceRefusal(f"height {height} isn't certified yet: the last is {self.height}", code="not-found")
        header = self.header(height)
        return BlockInfo(
            header=header,
            header_hash=header.hash,
            certificate=self.certificate(header),
            transactions=1,
            ok=1,
            jobs=0,
            events=0,
            size_bytes=300,
            gas_used=10,
        )

    async def blocks(self, first: int, count: int) -> Sequence[BlockInfo]:
        return [await self.block(height) for height in range(first, min(first + count, self.height + 1))]

    async def submit(self, raw: Sequence[bytes]) -> Sequence[SubmitResult]:
        return [self._admit(item) for item in raw]

    def _admit(self, raw: bytes) -> SubmitResult:
        try:
            tx = Transaction.decode(raw)
        except InvalidTransaction as error:
            return SubmitResult(b"", REFUSED, error.code, str(error))
        if self.full:
            return SubmitResult(tx.id, REFUSED, "mempool-full", "no room: try again in a second")
        if tx.body.chain_id != self.chain_id:
            return SubmitResult(tx.id, REFUSED, "chain", "the transaction is for another chain")
        if not self.hold and tx.id not in self.found:
            failed = tx.body.calls[0].method == "fail"
            values = () if failed else (to_wire(len(tx.body.calls)),)
            status, code = (Status.ABORT, "CASH-AVAILABLE") if failed else (Status.OK, "")
            self.height += 1
            self.found[tx.id] = (tx, Receipt(tx.id, status, code, 42, 0, 0, values), self.height)
        return SubmitResult(tx.id, PENDING)

    async def transactions(self, tx_ids: Sequence[bytes], *, wait_ms: int, sender: bytes) -> Sequence[TransactionStatus]:
        return [self._status(tx_id, sender) for tx_id in tx_ids]

    def _status(self, tx_id: bytes, sender: bytes) -> TransactionStatus:
        known = self.found.get(tx_id)
        if known is None:
            return TransactionStatus(tx_id, UNKNOWN)
        _, receipt, height = known
        entity = self.entities.get(sender, "")
        events = (Event("cash", "Deposited", entity, 1, tx_id, (("amount_fen", 5),)),) if entity else ()
        return TransactionStatus(tx_id, FINAL, height, Status(receipt.status).name, receipt.code, receipt.gas_used, receipt.values, events)

    async def proof(self, tx_id: bytes) -> bytes:
        if tx_id not in self.found:
            raise ServiceRefusal("this node holds no such transaction: ask the node that took it", code="not-found")
        tx, receipt, height = self.found[tx_id]
        salt = b"\x09" * 16
        transaction_leaves, receipt_leaves = [leaf_hash(tx.wire_hash)], [leaf_hash(salt + receipt.encoded)]
        header = self.header(height, tree_head(transaction_leaves), tree_head(receipt_leaves))
        place = LeafPath(0, 1, inclusion_path(transaction_leaves, 0))
        return TransactionProof(
            PROOF_VERSION, self.chain_id, tx.raw, place, receipt.encoded, salt, place, header.encoded, self.certificate(header)
        ).to_json()

    async def validators(self) -> VotingSet:
        return VotingSet(2, 101, VALIDATORS, 151, VALIDATORS[:3])

    async def contracts(self) -> Sequence[str]:
        return sorted(ABIS)

    async def abi(self, contract: str) -> ContractAbi:
        if contract not in ABIS:
            raise ServiceRefusal(f"no contract {contract!r} is installed: there are {', '.join(sorted(ABIS))}", code="not-found")
        return ABIS[contract]

    async def query(self, contract: str, view: str, args: tuple[Value, ...], *, sender: bytes, height: int | None) -> ViewResult:
        self.queried.append((contract, view, args, sender, height))
        if contract == "echo":
            return ViewResult(self.height, Status.OK, "", to_wire(args if view == "back" else sender), 5)
        if contract == "cash" and view == "balance" and sender == bytes(32):
            return ViewResult(self.height, Status.ABORT, "ACCESS-READ", None, 5)
        if contract == "matching":
            if view == "close_of":
                return ViewResult(self.height, Status.OK, "", to_wire((1, 2, 1, 2, 10, 20, 1) if args[1] == 20411 else ()), 5)
            key = (view, *(str(arg) for arg in args[:1]))
            if key not in self.answers:
                return ViewResult(self.height, Status.ABORT, "TRADE-NO-BOOK", None, 5)
            return ViewResult(self.height, Status.OK, "", to_wire(self.answers[key]), 5)
        return ViewResult(self.height, Status.OK, "", to_wire((100, 0)), 5)

    async def estimate(self, calls: Sequence[Call], *, sender: bytes) -> GasEstimate:
        self.estimated.append((tuple(calls), sender))
        if self.estimate_refusal is not None:
            raise self.estimate_refusal
        failed = calls[0].method == "fail"
        return GasEstimate(self.height, "ABORT", "CASH-AVAILABLE", 10_000_000, 0, 0) if failed else GasEstimate(self.height, "OK", "", 42, 100_084, 0)

    async def entity_of(self, key: bytes) -> str:
        return self.entities.get(key, "")

    async def events(self, entity: str, first: int, last: int) -> Sequence[EventRecord]:
        return [r for r in self.records if first <= r.height <= last and r.event.to in ("", entity)]

    def publish(self, record: EventRecord) -> None:
        self.records.append(record)
        self.news.set()

    async def subscribe(self, entity: str, first_height: int | None) -> AsyncIterator[EventRecord]:
        position = len(self.records) if first_height is None else 0
        while True:
            while position < len(self.records):
                record = self.records[position]
                position += 1
                if record.height >= (first_height or 0) and record.event.to in ("", entity):
                    yield record
            self.news.clear()
            await self.news.wait()


def trade(height: int, price_fen: int, book: str = "CEA-2024") -> EventRecord:
    """A public trade."""
    event = Event("matching", "Trade", "", height, b"", (("book", book), ("price_fen", price_fen), ("quantity_t", 3), ("time_ms", 77)))
    return EventRecord(height, 5_000, 0, event)


@pytest.fixture
def node() -> FakeNode:
    return FakeNode()


@pytest.fixture
def owner() -> KeySigner:
    return KeySigner(b"\x42" * 32)


@pytest.fixture
def make_trade() -> "type[msgspec.Struct] | object":
    return trade


class ContractNode(FakeNode):
    """The same node with the shipped contracts on a state in memory behind it, a market day open, and `ST-001` registered with `owner_key`."""

    def __init__(self, owner_key: bytes) -> None:
        super().__init__()
        rules = load("demo-nger")
        self.market = LocalMarket(rules)
        self.book = self.market.vintage(2024)
        self.market.by("exchange", "matching", "open_book", self.book, rules.scaled("first_reference_price_fen"))
        self.market.by("authority", "identity", "admit", "ST-001", "ST-001", "Station", "institution", "D4411", 42, owner_key, bytes(32))
        self.market.member("OTHER")
        for entity in ("ST-001", "OTHER"):
            self.market.fund(entity, cash_fen=1_000_000_000, iv=self.book, units_t=1_000)
        self.market.open_market(20411)
        self.entities[owner_key] = "ST-001"

    async def contracts(self) -> Sequence[str]:
        return sorted(self.market.contracts)

    async def abi(self, contract: str) -> ContractAbi:
        if contract not in self.market.contracts:
            raise ServiceRefusal(f"no contract {contract!r} is installed", code="not-found")
        found = self.market.contracts[contract].abi
        methods = [*found.exports.values(), *found.views.values()]
        return ContractAbi(
            contract, bytes(32), tuple(MethodAbi(m.name, m.kind.value, tuple((p.name, p.type) for p in m.parameters), m.returns, m.doc) for m in methods)
        )

    async def query(self, contract: str, view: str, args: tuple[Value, ...], *, sender: bytes, height: int | None) -> ViewResult:
        try:
            value = self.market.view(contract, view, *args, sender=sender)
        except LocalRefusal as refusal:
            return ViewResult(self.height, int(refusal.outcome.status), refusal.code, None, 5)
        return ViewResult(self.height, Status.OK, "", to_wire(value), 5)

    async def estimate(self, calls: Sequence[Call], *, sender: bytes) -> GasEstimate:
        before = self.market.snapshot()
        outcome = self.market.execute(calls, sender=sender, gas=20_000_000)
        self.market.restore(before)
        return GasEstimate(self.height, outcome.status.name, outcome.code, outcome.gas_used, 2 * outcome.gas_used + 100_000 if outcome.ok else 0, 0)

    def _admit(self, raw: bytes) -> SubmitResult:
        tx = Transaction.decode(raw)
        if tx.id not in self.found:
            outcome = self.market.execute(tx.body.calls, sender=tx.body.sender, gas=tx.body.gas_limit)
            self.height += 1
            values = tuple(to_wire(value) for value in outcome.values)
            self.found[tx.id] = (tx, Receipt(tx.id, int(outcome.status), outcome.code, outcome.gas_used, 0, 0, values), self.height)
        return SubmitResult(tx.id, PENDING)


@pytest.fixture
def market_node(owner: KeySigner) -> ContractNode:
    return ContractNode(owner.public_key)
