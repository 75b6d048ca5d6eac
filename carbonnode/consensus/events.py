"""Everything that can happen to a replica. Each event carries `now_ms`, a monotonic clock in ms: the replica reads no clock.

Order is the driver's only duty: events reach `Replica.step` one at a time, and the actions that come back are carried out before, or queued in order
ahead of, those of the next event.
"""

from typing import TypeAlias

import msgspec

from carbonnode.chain.batch import Batch
from carbonnode.chain.certificate import Certificate
from carbonnode.consensus.config import EpochConfig
from carbonnode.consensus.messages import Message


class Event(msgspec.Struct, frozen=True, kw_only=True):
    """`now_ms`: monotonic milliseconds, never going back within one run of the process."""

    now_ms: int


class Start(Event, frozen=True):
    """The first event after birth or `restore`: the replica sets its timers, sends again what it owes, asks where the others stand."""

    wall_ms: int


class Received(Event, frozen=True):
    """A decoded message whose outer signature the driver verified (`messages.verify_signed`) with the validators of its epoch.

    `sender` is the index, in the current epoch's set, of the peer at the other end of the link (not always the signer), or None for a peer that
    isn't a member. `wall_ms` is this machine's wall clock, ms since 1970: proposed times are held against it.
    """

    wall_ms: int
    sender: int | None
    message: Message


class TimerFired(Event, frozen=True):
    """The delay of a `SetTimer` with this id ran out."""

    timer: str


class WorkArrived(Event, frozen=True):
    """There is something to put in a block: the mempool was empty and isn't now, or a scheduled job is due.

    Say it again whenever the mempool turns from empty to not empty; more often does no harm.
    """


class BatchReady(Event, frozen=True):
    """Answers `RequestBatch`. `batch` is None if nothing waits after all (and an empty block wasn't asked for); `more` if still more waits."""

    height: int
    batch: Batch | None
    more: bool


class BatchResolved(Event, frozen=True):
    """Answers `ResolveBatch`.

    `ok`: every transaction of the batch is here, verified, and the batch keeps all limits of the epoch. Not `ok`: it never will be, for the bytes
    themselves are wrong (say so only then; while transactions are only missing, keep fetching and don't answer). `full`: no room was left in it for
    another transaction of ordinary size (count, bytes or gas), so that its primary can't be blamed for what it left out.
    """

    height: int
    digest: bytes
    ok: bool
    full: bool


class Executed(Event, frozen=True):
    """Answers `Execute`: the header's hash. `next_epoch` if this block decided one (its start lies more than a window ahead)."""

    height: int
    header_hash: bytes
    next_epoch: EpochConfig | None = None


class Persisted(Event, frozen=True):
    """The records of `Persist` `token`, and of all before it, are durable (fdatasync returned)."""

    token: int


class Synced(Event, frozen=True):
    """Answers `RequestSync`: block store and executor now hold `height`, certified (verified by the sync against the chain of validator sets).

    `epoch` is the configuration of height + 1 if it differs from the one this replica knows, `next_epoch` one that is decided but not begun.
    May come for less, or more, than was asked for. It must come: if no connected peer has more, within a second or two, for the height the stores hold
    already (`certificate` None at genesis), so that the replica goes on with what it can do itself; it asks again. The driver carries
    out no `Execute` while it syncs: those it holds are void after this event.
    """

    height: int
    header_hash: bytes
    certificate: Certificate | None
    epoch: EpochConfig | None = None
    next_epoch: EpochConfig | None = None


class PeersAhead(Event, frozen=True):
    """Connected nodes offer certified blocks up to `height`: how a node that isn't a validator (not yet, or no more) learns that it lags.

    Say it when our stores haven't moved for a second or so; the replica answers with `RequestSync` in its own order. No sync begins without that.
    """

    height: int


class RequestsAdmitted(Event, frozen=True):
    """This replica admitted these transactions (wire hashes) and forwarded them to the validators: from now on it times the primary."""

    wire_hashes: tuple[bytes, ...]


class RequestsDropped(Event, frozen=True):
    """These transactions left the mempool other than by a block (expired, shed): nobody is to blame if they are never ordered."""

    wire_hashes: tuple[bytes, ...]


class PeerUnreachable(Event, frozen=True):
    """The link to this validator closed and a redial was refused. Say it for every validator, not only the primary, once per loss."""

    peer: int


class PeerReachable(Event, frozen=True):
    """A link to this validator stands (again)."""

    peer: int


AnyEvent: TypeAlias = (
    Start
    | Received
    | TimerFired
    | WorkArrived
    | BatchReady
    | BatchResolved
    | Executed
    | Persisted
    | Synced
    | PeersAhead
    | RequestsAdmitted
    | RequestsDropped
    | PeerUnreachable
    | PeerReachable
)
