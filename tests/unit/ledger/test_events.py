import pytest

from carbonnode.chain.values import Scalar
from carbonnode.ledger.events import NOBODY, EventNumbers, audience
from carbonnode.vm.memory_state import MemoryState
from carbonnode.vm.outcome import EmittedEvent


def emitted(**fields: Scalar) -> EmittedEvent:
    return EmittedEvent("registry", "Moved", tuple(fields.items()))


@pytest.mark.parametrize(("fields", "heard"), [({}, ""), ({"to": "ann"}, "ann"), ({"to": ""}, NOBODY), ({"to": 7}, NOBODY), ({"to": None}, NOBODY)])
def test_an_event_with_an_addressee_is_never_public(fields: dict[str, Scalar], heard: str) -> None:
    event = emitted(amount=5, **fields)
    assert audience(event) == heard
    numbered, _ = EventNumbers(MemoryState()).number(event, b"t" * 32)
    assert (numbered.to, numbered.tx_id) == (heard, b"t" * 32 if heard else b"")
    assert "to" not in dict(numbered.fields)
