"""What a replica knows about one height above the stable checkpoint."""

from dataclasses import dataclass, field
from enum import Enum

from carbonnode.chain.batch import Batch
from carbonnode.consensus.messages import PreparedProof, PrePrepare


class Tally:
    """At most one vote of each signer, in one view, for one height: (digest, signature)."""

    __slots__ = ("_counts", "votes")

    def __init__(self) -> None:
        self.votes: dict[int, tuple[bytes, bytes]] = {}
        self._counts: dict[bytes, int] = {}

    def add(self, signer: int, digest: bytes, signature: bytes) -> tuple[bytes, bytes] | None:
        """Count a vote unless this signer voted; gives the (digest, signature) that stands for the signer if it differs, else None."""
        old = self.votes.get(signer)
        if old is not None:
            return old if old[0] != digest else None
        self.votes[signer] = (digest, signature)
        self._counts[digest] = self._counts.get(digest, 0) + 1
        return None

    def count(self, digest: bytes) -> int:
        """Votes for a digest."""
        return self._counts.get(digest, 0)

    def best(self) -> int:
        """Votes of the digest with most."""
        return max(self._counts.values(), default=0)

    def signatures(self, digest: bytes, limit: int) -> tuple[tuple[int, bytes], ...]:
        """The first `limit` (index, signature) for a digest, ascending by index."""
        return tuple(sorted((i, s) for i, (d, s) in self.votes.items() if d == digest)[:limit])

    def clear(self) -> None:
        """Forget all."""
        self.votes.clear()
        self._counts.clear()


class Known(Enum):
    """How far a batch got on its way to be votable."""

    NEW = "new"
    ASKED = "asked"
    GOOD = "good"
    BAD = "bad"


@dataclass(slots=True)
class HeldBatch:
    """A batch by (height, digest). `durable`: its records were handed to the journal; `full`: no room was left in it."""

    batch: Batch
    known: Known = Known.NEW
    durable: bool = False
    full: bool = False


@dataclass(slots=True)
class Slot:
    """One height. Above the line: the current view only, cleared when a view begins; below it: for good."""

    height: int
    digest: bytes | None = None
    proposal_signature: bytes = b""
    proposal: PrePrepare | None = None
    received_ms: int = 0
    time_ok: bool = False
    voted: bool = False
    prepared: bool = False
    prepares: Tally = field(default_factory=Tally)
    commits: Tally = field(default_factory=Tally)
    told: set[int] = field(default_factory=set)
    # ------------------------------------------------------------------
    proof: PreparedProof | None = None
    committed: bytes | None = None

    def new_view(self) -> None:
        """Forget what belonged to the view that ended."""
        self.digest = None
        self.proposal_signature = b""
        self.proposal = None
        self.received_ms = 0
        self.time_ok = self.voted = self.prepared = False
        self.prepares.clear()
        self.commits.clear()
        self.told.clear()
