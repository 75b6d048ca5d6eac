"""Events: who each is for, and the number it has among that audience's events (design, section 8).

A contract names the audience by the field `to` (an entity id); without it an event is public. A party counts its events from 1 and knows
from the head in the state that none is missing. A public event names no transaction.
"""

from collections.abc import Iterable

from carbonnode.chain import values
from carbonnode.chain.codec import encode
from carbonnode.chain.event import PUBLIC, Event
from carbonnode.ledger.layout import sequence_key
from carbonnode.ledger.state import WorkingState
from carbonnode.vm.outcome import EmittedEvent
from carbonnode.vm.state import ABSENT, StateAccess

AUDIENCE_FIELD = "to"
NOBODY = "!"
"""The audience of an event whose `to` is no text, or an empty one: nobody's, since no entity id is "!". Better unread than public."""


def audience(emitted: EmittedEvent) -> str:
    """Who an event is for."""
    for name, value in emitted.fields:
        if name == AUDIENCE_FIELD:
            return value if type(value) is str and value else NOBODY
    return PUBLIC


class EventNumbers:
    """Hands out the numbers of a block's events and writes the heads into the state at its end."""

    def __init__(self, state: StateAccess) -> None:
        self._state = state
        self._heads: dict[str, int] = {}

    def number(self, emitted: EmittedEvent, tx_id: bytes) -> tuple[Event, bytes]:
        """The event as it stands in the block, and its encoding."""
        to = audience(emitted)
        head = self._heads.get(to)
        if head is None:
            stored = self._state.get(sequence_key(to))
            head = stored if type(stored) is int else 0
        self._heads[to] = head = head + 1
        named = tx_id if to else b""
        event = Event(emitted.contract, emitted.name, to, head, named, tuple([pair for pair in emitted.fields if pair[0] != AUDIENCE_FIELD]))
        try:
            return event, encode(event)
        except OverflowError:  # an integer beyond 64 bits has a form of its own on the wire
            wire = tuple([(name, values.to_wire(value)) for name, value in emitted.fields if name != AUDIENCE_FIELD])
            event = Event(emitted.contract, emitted.name, to, head, named, wire)
            return event, encode(event)

    def forget(self, emitted: Iterable[EmittedEvent]) -> None:
        """Take numbers back that were handed out last."""
        for event in emitted:
            self._heads[audience(event)] -= 1

    def write_heads(self) -> None:
        """Put the new heads into the state."""
        for to, head in self._heads.items():
            self._state.put(sequence_key(to), head)


def head_of(state: WorkingState, to: str) -> int:
    """How many events an audience has had in the newest state."""
    stored = state.get(sequence_key(to))
    return 0 if stored is ABSENT or type(stored) is not int else stored
