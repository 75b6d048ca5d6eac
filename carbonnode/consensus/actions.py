"""Everything a replica asks of its driver. The driver carries actions out in the order given, and answers those that ask with an event.

**Persist before send**: the replica itself holds back every action that others could see, and whatever must not overtake one (`Send`, `Broadcast`, `Finalise`,
`ReportEvidence`, `RequestSync`, `DiscardOverlays`, `EpochEntered`, `ViewEntered`), until `Persisted` comes in for the `Persist` it stands behind. So the
driver may carry out what it gets at once. It must answer `Persisted` only after fdatasync.
"""

from typing import TypeAlias

import msgspec

from carbonnode.chain.batch import Batch
from carbonnode.chain.certificate import Certificate
from carbonnode.consensus.config import EpochConfig
from carbonnode.consensus.evidence import Evidence
from carbonnode.consensus.messages import Message


class Action(msgspec.Struct, frozen=True):
    """Base of all actions."""


class Record(Action, frozen=True):
    """One journal record: opaque bytes, and the height it is about (for the journal's bookkeeping only; see `journal`)."""

    height: int
    data: bytes


class Persist(Action, frozen=True):
    """Append the records to the journal in this order, make them durable, then give `Persisted(token)`. Tokens rise by one.

    `bodies` are digests of batches whose transactions must be durable by then as well (full bodies, so that a crash of all loses nothing): they were
    resolved before.
    """

    token: int
    records: tuple[Record, ...]
    bodies: tuple[bytes, ...]


class Broadcast(Action, frozen=True):
    """Send to every other validator of the current epoch, as far as links stand; nothing is owed to those that are away."""

    message: Message


class Send(Action, frozen=True):
    """Send to one validator, by its index in the current epoch's set."""

    to: int
    message: Message


class SetTimer(Action, frozen=True):
    """Give `TimerFired(timer)` after `delay_ms`; replaces a timer of the same id."""

    timer: str
    delay_ms: int


class CancelTimer(Action, frozen=True):
    """Forget the timer, if it is set."""

    timer: str


class RequestBatch(Action, frozen=True):
    """We are the primary and may propose `height`: answer `BatchReady` soon.

    With `allow_empty` an empty batch is wanted if nothing waits (an idle block is due); without it answer None then. Its time is the wall clock.
    """

    height: int
    allow_empty: bool


class ResolveBatch(Action, frozen=True):
    """Make all transactions of the batch available (from the mempool, else fetched by wire hash from anyone), verify them and the batch's limits.

    Answer `BatchResolved`. May come again for a digest already resolved (after a restart): answer again. Give up on those at or below a finalised
    height.
    """

    height: int
    digest: bytes
    batch: Batch


class ReleaseBatch(Action, frozen=True):
    """This proposal won't be ordered at its height in the view that was entered: its transactions may be proposed again."""

    height: int
    digest: bytes


class Execute(Action, frozen=True):
    """The order of `height` is fixed: execute the batch on top of height - 1 in memory and answer `Executed`. Strictly ascending, each height once."""

    height: int
    digest: bytes
    batch: Batch


class Finalise(Action, frozen=True):
    """The executed block of `height` is certified: write it with its certificate to the block store, then finalise the state. Ascending, without gaps."""

    height: int
    certificate: Certificate


class DiscardOverlays(Action, frozen=True):
    """Drop everything executed but not finalised: it differs from what a quorum certified. Keep it as evidence; no `Execute` follows until a sync."""

    height: int


class RequestSync(Action, frozen=True):
    """This replica lags behind certificates: fetch certified blocks (or a snapshot) up to `height` at least, from any peer, then give `Synced`.

    Answered by exactly one `Synced`, which may come for less: if no connected peer has more, with what the stores hold. No other comes before the answer.
    """

    height: int


class ReportEvidence(Action, frozen=True):
    """Store proof of a validator's misbehaviour durably, show it in `carbonnode status`, count it."""

    evidence: Evidence


class ViewEntered(Action, frozen=True):
    """A view began (for the mempool, metrics and logs)."""

    epoch: int
    view: int
    primary: int


class EpochEntered(Action, frozen=True):
    """The epoch began after its base was finalised: from now on messages are verified with its validators. `index` is ours in it, or None."""

    config: EpochConfig
    index: int | None


class Blame(Action, frozen=True):
    """A message broke the protocol and was refused: count it against the peer, score it. No honest validator is ever blamed (checked by the simulator).

    `peer` is the validator's name, as indices change meaning when an epoch begins; None: the peer isn't a member of the epoch.
    """

    peer: str | None
    code: str
    detail: str


class Alarm(Action, frozen=True):
    """Something an operator must hear. `code`: divergence, no-certificate, duplicate-key, nondeterminism, invalid-proposal, abstaining,
    abstaining-over, no-quorum.
    """

    code: str
    detail: str


AnyAction: TypeAlias = (
    Persist
    | Broadcast
    | Send
    | SetTimer
    | CancelTimer
    | RequestBatch
    | ResolveBatch
    | ReleaseBatch
    | Execute
    | Finalise
    | DiscardOverlays
    | RequestSync
    | ReportEvidence
    | ViewEntered
    | EpochEntered
    | Blame
    | Alarm
)
