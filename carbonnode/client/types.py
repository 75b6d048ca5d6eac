"""What nodes answer, as the SDK gives it: hashes and ids in hex, contract values decoded. Unknown fields are ignored: nodes may be newer."""

from typing import Any

import msgspec

from carbonnode.chain.genesis import value_from_json
from carbonnode.chain.service import ContractAbi, MethodAbi
from carbonnode.chain.values import Value


class PeerInfo(msgspec.Struct, frozen=True):
    """One peer of a node."""

    name: str
    role: str
    connected: bool
    height: int | None = None
    rtt_ms: int | None = None


class NodeInfo(msgspec.Struct, frozen=True, kw_only=True):
    """`/v1/status`: see `chain.service.NodeStatus`; `peers` counts the links that are up."""

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
    peer_list: list[PeerInfo] = []
    syncing: bool = False
    mempool: int = 0
    evidence: int = 0
    oldest_height: int = 0
    validity_blocks: int
    max_transaction_gas: int
    test_clock: bool = False
    warnings: list[str] = []
    confinement: list[str] = []


class CertificateInfo(msgspec.Struct, frozen=True):
    """A quorum's signatures over a header hash."""

    epoch: int
    height: int
    header_hash: str
    votes: list[tuple[int, str]]


class BlockInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A certified block: header fields, `header_raw` to hash and check, certificate, counts."""

    height: int
    header_hash: str
    epoch: int
    parent: str
    time_ms: int
    state_root: str
    header_raw: str
    certificate: CertificateInfo | None
    transactions: int
    ok: int
    jobs: int
    events: int
    size_bytes: int
    gas_used: int


class Submission(msgspec.Struct, frozen=True):
    """The answer to a submitted transaction; `refused` comes with a code and a message."""

    tx_id: str
    status: str
    code: str = ""
    message: str = ""


class Event(msgspec.Struct, frozen=True):
    """An event; `to` is its audience ("" is public); fields as JSON values."""

    contract: str
    name: str
    to: str
    sequence: int
    tx_id: str
    fields: dict[str, Any]


class EventInfo(msgspec.Struct, frozen=True):
    """A certified event with its place."""

    height: int
    time_ms: int
    index: int
    event: Event


class TransactionInfo(msgspec.Struct, frozen=True, kw_only=True):
    """Where a transaction stands; once final its block, outcome (OK, ABORT, ...), code, values and events.

    `status` is one of `chain.service.TRANSACTION_STATUSES`, or `refused` where no node admitted it; then `code` says why and `message` what to do.
    """

    tx_id: str
    status: str
    height: int | None = None
    outcome: str = ""
    code: str = ""
    gas_used: int = 0
    values: list[Any] = []
    events: list[Event] = []
    message: str = ""

    @property
    def ok(self) -> bool:
        """Whether it is final and its calls took effect."""
        return self.status == "final" and self.outcome == "OK"

    @property
    def value(self) -> Value:
        """What the first call returned, or None."""
        return value_from_json(self.values[0]) if self.values else None


class QueryAnswer(msgspec.Struct, frozen=True):
    """A view's answer at a certified height; `value` as JSON, see `decoded`."""

    height: int
    outcome: str
    code: str
    value: Any
    gas_used: int = 0

    @property
    def decoded(self) -> Value:
        """The contract value."""
        return value_from_json(self.value)


class _Parameter(msgspec.Struct, frozen=True):
    name: str
    type: str


class _Method(msgspec.Struct, frozen=True):
    name: str
    kind: str
    parameters: list[_Parameter]
    returns: str = ""
    doc: str = ""


class AbiInfo(msgspec.Struct, frozen=True):
    """A contract's interface as it comes over HTTP."""

    name: str
    source_hash: str
    methods: list[_Method]
    doc: str = ""
    version: int = 0

    @property
    def abi(self) -> ContractAbi:
        """The chain's own type."""
        methods = tuple(MethodAbi(m.name, m.kind, tuple((p.name, p.type) for p in m.parameters), m.returns, m.doc) for m in self.methods)
        return ContractAbi(self.name, bytes.fromhex(self.source_hash), methods, self.doc, self.version)


class ValidatorInfo(msgspec.Struct, frozen=True):
    """A member of the voting set; keys in hex."""

    name: str
    role: str
    consensus_key: str
    transport_key: str


class VotingSetInfo(msgspec.Struct, frozen=True):
    """Who votes since `first_height`, and who from `next_first_height` on, if that is settled."""

    epoch: int
    first_height: int
    validators: list[ValidatorInfo]
    next_first_height: int | None = None
    next_validators: list[ValidatorInfo] = msgspec.field(default_factory=list)


class ContractsInfo(msgspec.Struct, frozen=True):
    """Names of the installed contracts."""

    contracts: list[str]


class Submissions(msgspec.Struct, frozen=True):
    """One submission each, in order."""

    results: list[Submission]


class Transactions(msgspec.Struct, frozen=True):
    """One status each, in order."""

    transactions: list[TransactionInfo]
