"""The JSON (and MessagePack) shapes of the API: byte strings as lower-case hex, contract values as `chain.genesis.value_to_json` writes them."""

from typing import Annotated, Any

import msgspec

from carbonnode.chain.certificate import Certificate
from carbonnode.chain.codec import encode
from carbonnode.chain.event import Event
from carbonnode.chain.genesis import value_to_json
from carbonnode.chain.receipt import Status
from carbonnode.chain.service import BlockInfo, ContractAbi, EventRecord, GasEstimate, Health, MethodAbi, NodeStatus, SubmitResult, TransactionStatus, VotingSet
from carbonnode.chain.transaction import MAX_CALLS
from carbonnode.chain.validators import Validator
from carbonnode.chain.values import from_wire
from carbonnode.ledger.results import ViewResult


class PeerView(msgspec.Struct, frozen=True):
    """One peer."""

    name: str
    role: str
    connected: bool
    height: int | None
    rtt_ms: int | None


class StatusView(msgspec.Struct, frozen=True, kw_only=True):
    """The node at a glance; `peers` counts the links that are up, `peer_list` names them all."""

    name: str
    role: str
    entity: str
    network: str
    version: str
    pid: int
    chain_id: str
    epoch: int
    height: int
    header_hash: str
    state_root: str
    block_time_ms: int
    time_ms: int
    view: int
    primary: str
    peers: int
    peer_list: list[PeerView]
    syncing: bool
    mempool: int
    evidence: int
    oldest_height: int
    validity_blocks: int
    max_transaction_gas: int
    test_clock: bool
    warnings: list[str]
    confinement: list[str]

    @classmethod
    def of(cls, status: NodeStatus) -> "StatusView":
        """From the node's own type."""
        return cls(
            name=status.name,
            role=status.role,
            entity=status.entity,
            network=status.network,
            version=status.version,
            pid=status.pid,
            chain_id=status.chain_id.hex(),
            epoch=status.epoch,
            height=status.height,
            header_hash=status.header_hash.hex(),
            state_root=status.state_root.hex(),
            block_time_ms=status.block_time_ms,
            time_ms=status.time_ms,
            view=status.view,
            primary=status.primary,
            peers=sum(peer.connected for peer in status.peers),
            peer_list=[PeerView(p.name, p.role, p.connected, p.height, p.rtt_ms) for p in status.peers],
            syncing=status.syncing,
            mempool=status.mempool,
            evidence=status.evidence,
            oldest_height=status.oldest_height,
            validity_blocks=status.validity_blocks,
            max_transaction_gas=status.max_transaction_gas,
            test_clock=status.test_clock,
            warnings=list(status.warnings),
            confinement=list(status.confinement),
        )


class CertificateView(msgspec.Struct, frozen=True):
    """A quorum's signatures over the header hash: [index in the epoch's validator set, signature]."""

    epoch: int
    height: int
    header_hash: str
    votes: list[tuple[int, str]]

    @classmethod
    def of(cls, certificate: Certificate) -> "CertificateView":
        """From the chain's type."""
        votes = [(index, signature.hex()) for index, signature in certificate.votes]
        return cls(certificate.epoch, certificate.height, certificate.header_hash.hex(), votes)


class BlockView(msgspec.Struct, frozen=True, kw_only=True):
    """A certified block: its header's fields, its encoded header (`header_raw`, to hash and check), its certificate, and counts."""

    height: int
    header_hash: str
    epoch: int
    parent: str
    batch_digest: str
    time_ms: int
    transactions_root: str
    receipts_root: str
    events_root: str
    state_root: str
    validators_hash: str
    next_validators_hash: str
    parameters_hash: str
    header_raw: str
    certificate: CertificateView | None
    transactions: int
    ok: int
    jobs: int
    events: int
    size_bytes: int
    gas_used: int

    @classmethod
    def of(cls, block: BlockInfo) -> "BlockView":
        """From the node's own type."""
        header = block.header
        return cls(
            height=header.height,
            header_hash=block.header_hash.hex(),
            epoch=header.epoch,
            parent=header.parent.hex(),
            batch_digest=header.batch_digest.hex(),
            time_ms=header.time_ms,
            transactions_root=header.transactions_root.hex(),
            receipts_root=header.receipts_root.hex(),
            events_root=header.events_root.hex(),
            state_root=header.state_root.hex(),
            validators_hash=header.validators_hash.hex(),
            next_validators_hash=header.next_validators_hash.hex(),
            parameters_hash=header.parameters_hash.hex(),
            header_raw=encode(header).hex(),
            certificate=None if block.certificate is None else CertificateView.of(block.certificate),
            transactions=block.transactions,
            ok=block.ok,
            jobs=block.jobs,
            events=block.events,
            size_bytes=block.size_bytes,
            gas_used=block.gas_used,
        )


class SubmitBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One signed transaction in hex."""

    raw: str


class SubmitBatchBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Many signed transactions in hex."""

    raw: list[str]


class CallBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A call: contract, exported method, and its arguments by name (object) or by place (list)."""

    contract: str
    method: str
    args: dict[str, Any] | list[Any] = msgspec.field(default_factory=list)


class EstimateBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """1 to 64 calls of one transaction."""

    calls: Annotated[list[CallBody], msgspec.Meta(min_length=1, max_length=MAX_CALLS)]


class EstimateView(msgspec.Struct, frozen=True):
    """What the calls would have come to after the certified `height`: `outcome` OK and the `gas_limit` to declare, or ABORT and so on with a `code`.

    After OUT_OF_GAS `gas_used` is all that a dry run may use, after another failure it says nothing, and `gas_limit` is 0. `waiting` counts
    transactions at the node that aren't certified yet: once they are, the answer may be another.
    """

    height: int
    outcome: str
    code: str
    gas_used: int
    gas_limit: int
    waiting: int

    @classmethod
    def of(cls, found: GasEstimate) -> "EstimateView":
        """From the node's type."""
        return cls(found.height, found.outcome, found.code, found.gas_used, found.gas_limit, found.waiting)


class SubmitView(msgspec.Struct, frozen=True):
    """The answer to a submission; `refused` comes with a code and a message."""

    tx_id: str
    status: str
    code: str = ""
    message: str = ""

    @classmethod
    def of(cls, result: SubmitResult) -> "SubmitView":
        """From the node's own type."""
        return cls(result.tx_id.hex(), result.status, result.code, result.message)


class SubmitBatchView(msgspec.Struct, frozen=True):
    """One result for each transaction, in order."""

    results: list[SubmitView]


class EventView(msgspec.Struct, frozen=True):
    """An event; `to` is the entity it is addressed to ("" is public), `sequence` counts that audience's events from 1; a public one names no transaction."""

    contract: str
    name: str
    to: str
    sequence: int
    tx_id: str
    fields: dict[str, Any]

    @classmethod
    def of(cls, event: Event) -> "EventView":
        """From the chain's type."""
        fields = {name: value_to_json(from_wire(item)) for name, item in event.fields}
        return cls(event.contract, event.name, event.to, event.sequence, event.tx_id.hex(), fields)


class EventRecordView(msgspec.Struct, frozen=True):
    """A certified event with its place: height, block time, index among the block's events."""

    type: str
    height: int
    time_ms: int
    index: int
    event: EventView

    @classmethod
    def of(cls, record: EventRecord) -> "EventRecordView":
        """From the node's own type."""
        return cls("event", record.height, record.time_ms, record.index, EventView.of(record.event))


class TransactionView(msgspec.Struct, frozen=True, kw_only=True):
    """Where a transaction stands (statuses as in `chain.service`); `outcome`, `code`, `values` and `events` once it is final."""

    tx_id: str
    status: str
    height: int | None
    outcome: str
    code: str
    gas_used: int
    values: list[Any]
    events: list[EventView]

    @classmethod
    def of(cls, status: TransactionStatus) -> "TransactionView":
        """From the node's own type."""
        return cls(
            tx_id=status.tx_id.hex(),
            status=status.status,
            height=status.height,
            outcome=status.outcome,
            code=status.code,
            gas_used=status.gas_used,
            values=[value_to_json(from_wire(item)) for item in status.values],
            events=[EventView.of(event) for event in status.events],
        )


class StatusesBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Ids (hex) of transactions to look up; with `wait_ms` the answer waits until all are settled, or that long."""

    tx_ids: list[str]
    wait_ms: int = 0


class StatusesView(msgspec.Struct, frozen=True):
    """One status for each id, in order."""

    transactions: list[TransactionView]


class ContractsView(msgspec.Struct, frozen=True):
    """Names of the installed contracts."""

    contracts: list[str]


class ParameterView(msgspec.Struct, frozen=True):
    """A parameter and its type: int, str, bytes, bool or tuple."""

    name: str
    type: str


class MethodView(msgspec.Struct, frozen=True):
    """A method: `kind` is export (a transaction), view (a query) or init."""

    name: str
    kind: str
    parameters: list[ParameterView]
    returns: str
    doc: str

    @classmethod
    def of(cls, method: MethodAbi) -> "MethodView":
        """From the node's own type."""
        return cls(method.name, method.kind, [ParameterView(*pair) for pair in method.parameters], method.returns, method.doc)


class AbiView(msgspec.Struct, frozen=True):
    """A contract's interface."""

    name: str
    source_hash: str
    doc: str
    methods: list[MethodView]
    version: int
    """1 is the first source installed under the name; upgrades and rollbacks count on."""

    @classmethod
    def of(cls, abi: ContractAbi) -> "AbiView":
        """From the node's own type."""
        return cls(abi.name, abi.source_hash.hex(), abi.doc, [MethodView.of(method) for method in abi.methods], abi.version)


class ValidatorView(msgspec.Struct, frozen=True):
    """A member of the voting set; keys in hex."""

    name: str
    role: str
    consensus_key: str
    transport_key: str

    @classmethod
    def of(cls, member: Validator) -> "ValidatorView":
        """From the chain's own type."""
        return cls(member.name, member.role, member.consensus_key.hex(), member.transport_key.hex())


class VotingSetView(msgspec.Struct, frozen=True):
    """Who votes since `first_height`, and who from `next_first_height` on, if that is settled."""

    epoch: int
    first_height: int
    validators: list[ValidatorView]
    next_first_height: int | None
    next_validators: list[ValidatorView]

    @classmethod
    def of(cls, voting: VotingSet) -> "VotingSetView":
        """From the node's own type."""
        now, then = ([ValidatorView.of(member) for member in members] for members in (voting.members, voting.next_members))
        return cls(voting.epoch, voting.first_height, now, voting.next_first_height, then)


class QueryBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Arguments of a view by name (object) or by place (list), and a certified height (the last by default)."""

    args: dict[str, Any] | list[Any] = msgspec.field(default_factory=list)
    height: int | None = None


class QueryView(msgspec.Struct, frozen=True):
    """A view's answer at a height. `outcome` is OK, or ABORT and so on with a `code`."""

    height: int
    outcome: str
    code: str
    value: Any
    gas_used: int

    @classmethod
    def of(cls, result: ViewResult) -> "QueryView":
        """From the ledger's type."""
        return cls(result.height, Status(result.status).name, result.code, value_to_json(from_wire(result.value)), result.gas_used)


class CheckView(msgspec.Struct, frozen=True):
    """One readiness check."""

    name: str
    ok: bool
    detail: str


class HealthView(msgspec.Struct, frozen=True):
    """`ok` is what the asked probe says; the checks say why not."""

    ok: bool
    checks: list[CheckView]

    @classmethod
    def of(cls, ok: bool, health: Health) -> "HealthView":
        """From the node's own type."""
        return cls(ok, [CheckView(check.name, check.ok, check.detail) for check in health.checks])
