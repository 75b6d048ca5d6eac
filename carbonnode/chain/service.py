"""What a node answers to its clients: the types that node, HTTP API and SDK share. Byte strings are raw here; HTTP shows them as hex.

Statuses of a transaction: `pending` (admitted, not in a batch), `ordered` (its place is fixed, not yet certified), `final` (in a certified block),
`expired` (its valid-until height passed without it), `unknown` (this node never saw it), and, as the answer to a submission only, `refused`.
"""

import msgspec

from carbonnode.chain.certificate import Certificate
from carbonnode.chain.event import Event
from carbonnode.chain.header import Header
from carbonnode.chain.validators import Validator
from carbonnode.chain.values import WireValue
from carbonnode.errors import CarbonnodeError

PENDING, ORDERED, FINAL, EXPIRED, UNKNOWN, REFUSED = "pending", "ordered", "final", "expired", "unknown", "refused"
TRANSACTION_STATUSES = (PENDING, ORDERED, FINAL, EXPIRED, UNKNOWN)
ANONYMOUS = bytes(32)
"""The sender of unsigned views: nobody's key."""

REFUSALS: dict[str, int] = {
    "bad-request": 400,
    "unauthorized": 401,
    "forbidden": 403,
    "not-found": 404,
    "pruned": 410,
    "unsupported-media-type": 415,
    "busy": 429,
    "internal": 500,
    "not-available": 501,
    "not-ready": 503,
    "overloaded": 503,
    "timeout": 504,
}
"""Codes with which a node refuses a request, and the HTTP status each becomes. The codes are stable."""


class ServiceRefusal(CarbonnodeError):
    """The node refuses a request; `code` is a key of `REFUSALS`; the message says what to do."""

    code = "bad-request"


class SubmitResult(msgspec.Struct, frozen=True, gc=False):
    """The answer to one submitted transaction.

    `status` is `pending`, or where the node already knows it `ordered` or `final`; `refused` comes with a stable `code` (an
    `InvalidTransaction` code, `expired`, `quota`, `mempool-full`, ...) and a message. `tx_id` is empty when the bytes weren't a transaction.
    """

    tx_id: bytes
    status: str
    code: str = ""
    message: str = ""


class TransactionStatus(msgspec.Struct, frozen=True, gc=False):
    """Where a transaction stands.

    When final: `height` of its block, `outcome` (name of `chain.receipt.Status`, e.g. OK or ABORT), `code` ("" when OK), `gas_used`, `values`
    its calls returned, `events` that the asker may see (public ones, and those addressed to the entity of an authenticated asker).
    """

    tx_id: bytes
    status: str
    height: int | None = None
    outcome: str = ""
    code: str = ""
    gas_used: int = 0
    values: tuple[WireValue, ...] = ()
    events: tuple[Event, ...] = ()


class GasEstimate(msgspec.Struct, frozen=True):
    """What calls would have come to after the certified `height`: `outcome` as a transaction's, `code` where it isn't OK.

    `gas_limit` is what to declare, 0 where they weren't OK. After OUT_OF_GAS `gas_used` is all that a dry run may use, after another failure it says
    nothing. `waiting` counts transactions that wait at the node or aren't certified yet: once they are, the answer may be another.
    """

    height: int
    outcome: str
    code: str
    gas_used: int
    gas_limit: int
    waiting: int


class PeerStatus(msgspec.Struct, frozen=True):
    """One configured or connected peer: its certified name and role, whether the link is up, its last known certified height, round trip in ms."""

    name: str
    role: str
    connected: bool
    height: int | None = None
    rtt_ms: int | None = None


class NodeStatus(msgspec.Struct, frozen=True, kw_only=True):
    """A node at a glance. `height`, `header_hash`, `state_root` and `block_time_ms` are of the last certified block.

    `time_ms` is market time (block time + clock offset); `view` and `primary` are consensus's on a validator, 0 and "" on a user node; `oldest_height` is
    the oldest height that queries and proofs of state still reach; `mempool` counts waiting transactions; `evidence` proven faults of validators.
    """

    name: str
    role: str
    entity: str
    network: str
    version: str
    pid: int
    chain_id: bytes
    epoch: int
    height: int
    header_hash: bytes
    state_root: bytes
    block_time_ms: int
    time_ms: int
    view: int
    primary: str
    syncing: bool
    mempool: int
    evidence: int
    oldest_height: int
    validity_blocks: int
    max_transaction_gas: int
    test_clock: bool
    peers: tuple[PeerStatus, ...] = ()
    warnings: tuple[str, ...] = ()
    confinement: tuple[str, ...] = ()
    """What confines a validator's executor process, or doesn't, one line for each means."""


class BlockInfo(msgspec.Struct, frozen=True, kw_only=True):
    """A certified block without its transactions: header, certificate, and counts. `ok` counts transactions whose receipt says OK."""

    header: Header
    header_hash: bytes
    certificate: Certificate | None
    transactions: int
    ok: int
    jobs: int
    events: int
    size_bytes: int
    gas_used: int


class VotingSet(msgspec.Struct, frozen=True):
    """Who certifies the block after the last certified one, since which height, and who from `next_first_height` on, once that is settled."""

    epoch: int
    first_height: int
    members: tuple[Validator, ...]
    next_first_height: int | None = None
    next_members: tuple[Validator, ...] = ()


class MethodAbi(msgspec.Struct, frozen=True):
    """One callable of a contract. `kind` is `export`, `view` or `init`; parameters are (name, type) with types int, str, bytes, bool, tuple."""

    name: str
    kind: str
    parameters: tuple[tuple[str, str], ...]
    returns: str = ""
    doc: str = ""


class ContractAbi(msgspec.Struct, frozen=True):
    """A contract's interface at a height."""

    name: str
    source_hash: bytes
    methods: tuple[MethodAbi, ...]
    doc: str = ""
    version: int = 0
    """Counts the sources that were installed under the name: 1 is the first."""

    def method(self, name: str, kind: str | None = None) -> MethodAbi | None:
        """The method of this name (and kind), or None."""
        for method in self.methods:
            if method.name == name and (kind is None or method.kind == kind):
                return method
        return None


class EventRecord(msgspec.Struct, frozen=True, gc=False):
    """A certified event as subscribers get it: height and block time of its block, its index among the block's events, the event."""

    height: int
    time_ms: int
    index: int
    event: Event


class HealthCheck(msgspec.Struct, frozen=True):
    """One readiness check: what is checked, whether it holds, and what to do when it doesn't."""

    name: str
    ok: bool
    detail: str = ""


class Health(msgspec.Struct, frozen=True):
    """`live`: the process works. `ready`: it can serve and take transactions; `checks` say why not."""

    live: bool
    ready: bool
    checks: tuple[HealthCheck, ...] = ()
