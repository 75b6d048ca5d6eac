"""Actions on their way out: records of one step become one `Persist`, and nothing that others could see overtakes it."""

from collections import deque

from carbonnode.consensus.actions import (
    AnyAction,
    Broadcast,
    DiscardOverlays,
    EpochEntered,
    Finalise,
    Persist,
    Record,
    ReportEvidence,
    RequestSync,
    Send,
    ViewEntered,
)
from carbonnode.consensus.journal import JournalRecord, encode_record
from carbonnode.errors import InvariantViolation

_VISIBLE = (Send, Broadcast, Finalise, ReportEvidence, EpochEntered, ViewEntered, DiscardOverlays, RequestSync)
"""What waits for the disk: all that others see, and what must not overtake a `Finalise`."""


class Outbox:
    """Collects the actions of a step; holds the visible ones until what was persisted before them is durable."""

    def __init__(self) -> None:
        self._actions: list[AnyAction] = []
        self._records: list[Record] = []
        self._bodies: list[bytes] = []
        self._held: deque[tuple[int, AnyAction]] = deque()
        self._released: list[AnyAction] = []
        self._token = 0
        self._durable = 0

    @property
    def held(self) -> int:
        """How many actions wait for the disk."""
        return len(self._held)

    def emit(self, action: AnyAction) -> None:
        """Add an action."""
        self._actions.append(action)

    def persist(self, height: int, record: JournalRecord, body: bytes | None = None) -> None:
        """Write a record, and make the transactions of batch `body` durable with it, before anything of this step is seen."""
        self._records.append(Record(height, encode_record(record)))
        if body is not None:
            self._bodies.append(body)

    def durable(self, token: int) -> None:
        """Everything up to `token` is on disk: release what waited for it, ahead of the actions of this step."""
        if token > self._token:
            raise InvariantViolation(f"the driver reported token {token} durable, but only {self._token} were asked for")
        self._durable = max(self._durable, token)
        while self._held and self._held[0][0] <= self._durable:
            self._released.append(self._held.popleft()[1])

    def take(self) -> tuple[AnyAction, ...]:
        """The actions of the finished step, `Persist` first."""
        out = self._released
        self._released = []
        if self._records:
            self._token += 1
            out.append(Persist(self._token, tuple(self._records), tuple(self._bodies)))
            self._records.clear()
            self._bodies.clear()
        for action in self._actions:
            if isinstance(action, _VISIBLE) and self._token > self._durable:
                self._held.append((self._token, action))
            else:
                out.append(action)
        self._actions.clear()
        return tuple(out)
