"""What a replica is told at birth and at an epoch's start."""

from dataclasses import dataclass

from carbonnode.chain.certificate import Certificate
from carbonnode.chain.genesis import Parameters
from carbonnode.chain.validators import ValidatorSet


@dataclass(frozen=True, slots=True)
class EpochConfig:
    """The rules from height `first_height` on: who votes and with which parameters. Epoch 0 starts at height 1."""

    epoch: int
    first_height: int
    validators: ValidatorSet
    parameters: Parameters

    @property
    def base(self) -> int:
        """The last height of the epoch before (0: genesis): stable for every member of this epoch before it votes."""
        return self.first_height - 1


@dataclass(frozen=True, slots=True)
class StableState:
    """The highest height that the block store and the executor both hold, with its certificate (None at genesis)."""

    height: int
    header_hash: bytes
    certificate: Certificate | None


@dataclass(frozen=True, slots=True)
class Tuning:
    """Local habits that no other replica needs to share; times in ms."""

    pipeline: int = 4
    """Proposals of our own that may be uncommitted at once while transactions wait."""
    retransmit_ms: int = 250
    """How long without progress before missing messages are asked for; also the pause between asking again."""
    status_ms: int = 2_000
    """The pause between unasked STATUS messages while all is well."""
    execute_patience_ms: int = 10_000
    """How long a block that others certified may take to execute here before it is asked for from them: what is only slow may be executed twice then."""
    unreachable_ms: int = 200
    """How long the primary's link may stay closed, and refused, before it is suspected."""
    request_factor: int = 2
    """A request is overdue after this many current time-outs."""
    slow_window_ms: int = 6_000
    """Over how long a primary's pace is judged."""
    slow_wait_ms: int = 2_000
    """A primary under which requests wait longer than this on average, while its batches had room, is slow."""
