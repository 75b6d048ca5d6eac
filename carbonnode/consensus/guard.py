"""The last-signed guard beside the key: it signs nothing lower than, or contradictory to, what it signed before (PBFT.md 19, 20, 31).

The guard is the only place that signs votes. Asked again for the same vote it gives the identical signature, also after a restart.
"""

from dataclasses import dataclass, field

from carbonnode.chain.certificate import checkpoint_bytes
from carbonnode.chain.signing import Signer
from carbonnode.consensus.evidence import CHECKPOINT, COMMIT, PRE_PREPARE, PREPARE
from carbonnode.consensus.journal import Voted
from carbonnode.consensus.messages import NewView, ViewChange, commit_bytes, new_view_bytes, pre_prepare_bytes, prepare_bytes, suspect_bytes, view_change_bytes
from carbonnode.errors import InvariantViolation

_BYTES = {PRE_PREPARE: pre_prepare_bytes, PREPARE: prepare_bytes, COMMIT: commit_bytes}


@dataclass(slots=True)
class VoteGuard:
    """Signs for one replica. `left_view`: no vote below it; `floor`: no vote at or below this height (it is certified)."""

    signer: Signer
    chain_id: bytes
    epoch: int
    floor: int
    left_view: int = 0
    proven_view: int = 0
    """The last view this replica signed a NEW-VIEW for: one for each view, ever."""
    votes: dict[tuple[str, int], Voted] = field(default_factory=dict)

    def begin_epoch(self, epoch: int, floor: int) -> None:
        """A new epoch: views restart; nothing at or below its base is signed any more."""
        self.epoch = epoch
        self.left_view = self.proven_view = 0
        self.votes.clear()
        self.floor = floor

    def vote(self, kind: str, view: int, height: int, digest: bytes) -> tuple[bytes, Voted | None]:
        """The signature, and the record to persist before it leaves (None if it was given before).

        Raises `InvariantViolation` if the vote is lower or contradictory: the caller has a bug, and nothing may be sent.
        """
        if kind == CHECKPOINT:
            view = 0
        old = self.votes.get((kind, height))
        if old is not None:
            if (old.view, old.digest) == (view, digest):
                return old.signature, None
            if view <= old.view:
                raise InvariantViolation(f"refused to sign {kind} of height {height} in view {view}: {old.digest.hex()} was signed in view {old.view}")
        if height <= self.floor or (kind != CHECKPOINT and view < self.left_view):
            raise InvariantViolation(f"refused to sign {kind} of height {height}, view {view}: floor {self.floor}, left view {self.left_view}")
        if kind == CHECKPOINT:
            message = checkpoint_bytes(self.chain_id, self.epoch, height, digest)
        else:
            message = _BYTES[kind](self.chain_id, self.epoch, view, height, digest)
        record = Voted(kind, self.epoch, view, height, digest, self.signer.sign(message))
        self.votes[kind, height] = record
        return record.signature, record

    def given(self, kind: str, height: int) -> Voted | None:
        """The last vote of this kind for a height, if any."""
        return self.votes.get((kind, height))

    def sign_view_change(self, message: ViewChange) -> bytes:
        """Sign a VIEW-CHANGE and leave all lower views. Raises `InvariantViolation` if a view as high was left before."""
        if message.view <= self.left_view:
            raise InvariantViolation(f"refused to sign a VIEW-CHANGE to view {message.view}: {self.left_view} was left for already")
        self.left_view = message.view
        return self.signer.sign(view_change_bytes(self.chain_id, message))

    def sign_new_view(self, message: NewView) -> bytes:
        """Sign the NEW-VIEW of a view. Raises `InvariantViolation` for a view that was left, or a second one for a view."""
        if message.view < self.left_view or message.view <= self.proven_view:
            raise InvariantViolation(f"refused to sign the NEW-VIEW of {message.view}: left {self.left_view}, proved {self.proven_view}")
        self.proven_view = message.view
        return self.signer.sign(new_view_bytes(self.chain_id, message))

    def sign_reproposal(self, view: int, height: int, digest: bytes) -> tuple[bytes, Voted | None]:
        """Sign a pre-prepare that goes into the one NEW-VIEW of `view`; heights certified meanwhile may stand in it too, nothing rests on them."""
        if view <= self.proven_view:
            raise InvariantViolation(f"refused to sign a proposal for a second NEW-VIEW of view {view}")
        if height > self.floor:
            return self.vote(PRE_PREPARE, view, height, digest)
        return self.signer.sign(pre_prepare_bytes(self.chain_id, self.epoch, view, height, digest)), None

    def sign_suspect(self, view: int) -> bytes:
        """Sign a SUSPECT, which promises nothing."""
        return self.signer.sign(suspect_bytes(self.chain_id, self.epoch, view))

    def remember(self, record: Voted) -> None:
        """Take in a vote from the journal (in the order they were written)."""
        if record.epoch == self.epoch and record.height > self.floor:
            self.votes[record.kind, record.height] = record

    def entered(self, view: int) -> None:
        """A view was entered through its NEW-VIEW: lower ones are left, and no other NEW-VIEW is signed for it."""
        self.left_view = max(self.left_view, view)
        self.proven_view = max(self.proven_view, view)

    def release(self, height: int) -> None:
        """Forget votes at or below a certified height, and never sign there again."""
        self.floor = max(self.floor, height)
        for key in [key for key in self.votes if key[1] <= height]:
            del self.votes[key]
