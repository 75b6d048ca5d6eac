"""The state of a replica: plain data, changed by the functions of the other modules, one concept each.

Handlers note what an event says; `replica.settle` then derives what follows from it, until nothing more does.
"""

from collections import deque

from carbonnode.chain.batch import NULL_BATCH, Batch
from carbonnode.chain.certificate import Certificate
from carbonnode.chain.signing import Signer
from carbonnode.consensus.actions import Alarm, AnyAction, Blame, Broadcast, ReportEvidence, Send
from carbonnode.consensus.config import EpochConfig, StableState, Tuning
from carbonnode.consensus.evidence import Evidence
from carbonnode.consensus.guard import VoteGuard
from carbonnode.consensus.journal import JournalRecord
from carbonnode.consensus.messages import Message, NewView, Signed, Suspect, Verify, ViewChange
from carbonnode.consensus.outbox import Outbox
from carbonnode.consensus.pacing import Pacing
from carbonnode.consensus.proofs import VerifyCache
from carbonnode.consensus.requests import Requests
from carbonnode.consensus.slots import HeldBatch, Known, Slot
from carbonnode.errors import PeerViolation

UNREACHABLE, NO_PROGRESS, CENSORSHIP, SLOW, EQUIVOCATION, INVALID = "unreachable", "no progress", "censorship", "slow", "equivocation", "invalid proposal"
"""Why a primary is suspected."""

RECENT_CERTIFICATES = 64
"""How many certificates below the stable checkpoint are kept to hand to those who lag."""


class Core:
    """Everything a replica knows. Memory is bounded: heights by the window, votes by members, early messages by sender."""

    def __init__(self, *, signer: Signer, chain_id: bytes, epoch: EpochConfig, stable: StableState, tuning: Tuning, verify: Verify) -> None:
        self.chain_id = chain_id
        self.tuning = tuning
        self.verify = VerifyCache(verify)
        self.out = Outbox()
        self.now = 0
        self.wall_offset = 0

        self.epoch = epoch
        self.next_epoch: EpochConfig | None = None
        self.index = epoch.validators.index_of(signer.public_key)
        self.guard = VoteGuard(signer, chain_id, epoch.epoch, stable.height)
        self._make_view()
        self._make_log(stable)
        self._make_repair(stable)
        self._make_liveness(epoch)

    def _make_view(self) -> None:
        """Which view, who wants to leave it."""
        self.view = 0
        self.active = True
        self.new_view: NewView | None = None
        self.named: dict[int, bytes] = {}
        self.named_top = 0
        self.own_view_change: ViewChange | None = None
        self.view_changes: dict[int, ViewChange] = {}
        self.suspects: dict[int, tuple[int, Suspect]] = {}
        self.heard_suspects: set[int] = set()
        """Whose SUSPECT of this view was heard: from then on only its own link makes it fresh again."""
        self.left_on: tuple[Suspect, ...] = ()
        """The SUSPECTs on which this replica left a view, for those who missed them."""
        self.left_ms = 0
        self.suspicion: str | None = None
        self.quorum_left_ms: int | None = None
        self.slow_strikes = 0

    def _make_log(self, stable: StableState) -> None:
        """Heights: what is proposed, ordered, executed, certified."""
        self.stable = stable.height
        self.stable_hash = stable.header_hash
        self.stable_certificate = stable.certificate
        self.finalised = stable.height
        self.ordered = stable.height
        self.most_ordered = stable.height
        """The greatest height ever ordered here: what a sync without fruit has executed again below it is no progress."""
        self.slots: dict[int, Slot] = {}
        self.batches: dict[tuple[int, bytes], HeldBatch] = {}
        self.wanted: set[tuple[int, bytes]] = set()
        self.dirty: set[int] = set()

        self.checkpoints: dict[int, dict[int, tuple[bytes, bytes]]] = {}
        self.certificates: dict[int, Certificate] = {}
        self.recent: deque[Certificate] = deque(maxlen=RECENT_CERTIFICATES)
        self.header_hashes: dict[int, bytes] = {}
        self.hint = 0
        self.far: dict[int, int] = {}

    def _make_repair(self, stable: StableState) -> None:
        """Catching up, lost promises, what came early, what was said already."""
        self.syncing = False
        self.sync_target = 0
        self.sync_pause_until = 0
        self.resync = False
        """Whether a diverged replica wants the certified state."""
        self.unexecuted = (0, 0)
        """The next height, ordered and certified but not executed here, and since when; (0, 0) if there is none."""
        self.diverged = 0
        self.abstaining = False
        self.abstain_target = -1
        self.peer_certified: dict[int, int] = {}
        self.peer_said: dict[int, int] = {}
        """Where each peer said it stands since this replica abstains: a certificate of less isn't its highest."""
        self.abstainers: set[int] = set()
        self.deferred: list[JournalRecord] = []
        self.stood_at = stable.height - self.window
        """Where the standing promises were written last; a start writes them anew, or restarts in a row would let the journal be cut above them."""

        self.early: dict[tuple[int, int], deque[Signed]] = {}
        self.replay = False
        self.reported: set[tuple[str, int, int, int]] = set()
        self.alarmed: set[tuple[str, int]] = set()
        self.status_sent_ms = 0
        self.answered: dict[int, int] = {}

    def _make_liveness(self, epoch: EpochConfig) -> None:
        """Deadlines, requests, and the primary's next proposal."""
        self.requests = Requests()
        parameters = epoch.parameters
        self.pacing = Pacing(parameters.base_timeout_ms, parameters.max_timeout_ms)
        self.progress_ms = 0
        self.uncertified_ms = 0
        """Since when ordered blocks wait for the next certificate; in this view."""
        self.view_entered_ms = 0
        self.proposal_seen_ms = 0
        self.unreachable: dict[int, int] = {}
        self.timers: dict[str, int] = {}
        self.work = False
        self.awaiting_batch: int | None = None
        self.next_height = self.stable + 1
        self.last_proposal_ms = -(1 << 40)

    # ---- who

    @property
    def primary(self) -> int:
        """The primary of the current view."""
        return self.epoch.validators.primary(self.view)

    @property
    def is_primary(self) -> bool:
        """Whether this replica is it."""
        return self.index is not None and self.index == self.primary

    @property
    def may_vote(self) -> bool:
        """A member that hasn't lost its votes."""
        return self.index is not None and not self.abstaining

    @property
    def quorum(self) -> int:
        """How many votes decide: q."""
        return self.epoch.validators.quorum

    @property
    def one_honest(self) -> int:
        """So many (f + 1) signers include an honest one."""
        return self.epoch.validators.faults + 1

    # ---- where

    @property
    def window(self) -> int:
        """L."""
        return self.epoch.parameters.window

    @property
    def high(self) -> int:
        """The high water mark: nothing above it is voted on, nor the start of the next epoch and beyond (PBFT.md 46)."""
        high = self.stable + self.window
        if self.diverged:
            # What it doesn't execute may decide an epoch that it then knows nothing of; a sync tells it before (found by the simulator).
            high = min(high, self.diverged + self.window)
        return min(high, self.next_epoch.base) if self.next_epoch is not None else high

    def in_window(self, height: int) -> bool:
        """Between the water marks."""
        return self.stable < height <= self.high

    def slot(self, height: int) -> Slot:
        """The slot of a height in the window, made on first use."""
        slot = self.slots.get(height)
        if slot is None:
            slot = self.slots[height] = Slot(height)
        return slot

    # ---- what

    def batch(self, height: int, digest: bytes) -> HeldBatch | None:
        """The batch, if it is held; the null batch always is, and good."""
        held = self.batches.get((height, digest))
        if held is None and digest == NULL_BATCH.digest:
            held = self.batches[height, digest] = HeldBatch(NULL_BATCH, Known.GOOD)
        return held

    def hold(self, height: int, batch: Batch) -> HeldBatch:
        """Keep a batch for a height."""
        held = self.batch(height, batch.digest)
        if held is None:
            held = self.batches[height, batch.digest] = HeldBatch(batch)
        self.wanted.discard((height, batch.digest))
        return held

    # ---- out

    def emit(self, action: AnyAction) -> None:
        """Add an action to this step's."""
        self.out.emit(action)

    def broadcast(self, message: Message) -> None:
        """To every other validator."""
        if len(self.epoch.validators) > 1:
            self.out.emit(Broadcast(message))

    def send(self, to: int, message: Message) -> None:
        """To one other validator."""
        self.out.emit(Send(to, message))

    def alarm(self, code: str, height: int, detail: str) -> None:
        """Tell the operator, once for a code and height."""
        if (code, height) not in self.alarmed:
            self.alarmed.add((code, height))
            self.out.emit(Alarm(code, detail))

    def blame(self, peer: int | None, violation: PeerViolation) -> None:
        """A peer broke the protocol: refuse and count it."""
        validators = self.epoch.validators
        name = validators[peer].name if peer is not None and 0 <= peer < len(validators) else None
        self.out.emit(Blame(name, violation.code, str(violation)))

    def accuse(self, evidence: Evidence, *said: Message) -> bool:
        """Report evidence, if it is new, and show the accused what bears its name: an honest one learns that a second process signs with its key.

        The bound keeps a flood of it from filling memory.
        """
        key = (evidence.kind, evidence.signer, evidence.view, evidence.height)
        if key in self.reported or len(self.reported) >= 1_024:
            return False
        self.reported.add(key)
        self.emit(ReportEvidence(evidence))
        for message in said if evidence.signer != self.index else ():
            self.send(evidence.signer, message)
        return True

    def progress(self) -> None:
        """Something real happened: deadlines start anew, and impatience passes."""
        self.progress_ms = self.now
        if self.suspicion == NO_PROGRESS:
            self.suspicion = None
            self.suspects.pop(-1 if self.index is None else self.index, None)
