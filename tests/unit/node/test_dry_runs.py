"""Who gets a dry run from a node: its clients, and user nodes for keys that they may ask for."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from carbonnode.chain.codec import encode
from carbonnode.chain.service import ANONYMOUS, ServiceRefusal
from carbonnode.chain.signing import KeySigner
from carbonnode.chain.transaction import Call, calls_to_wire
from carbonnode.errors import CarbonnodeError, RemoteError
from carbonnode.network import PeerIdentity
from carbonnode.node.relay import UserRelay
from carbonnode.node.service import MAX_VIEWS_WAITING, ValidatorService
from carbonnode.node.user_service import UserService
from carbonnode.node.wire import EstimateAnswer, EstimateRequest, RequestKind, decode_payload
from tests.unit.node.chain_kit import Chain, LocalExecutor, make_genesis

OWN, FOREIGN, UNKNOWN = (KeySigner(bytes([number]) * 32).public_key for number in (1, 2, 3))
ORGANISATIONS = {OWN: "ORIGIN", FOREIGN: "OTHER"}
NOTE = (Call("notes", "note", ("", "x")),)
PEER = cast(PeerIdentity, SimpleNamespace(name="user-1", role="user", organisation="ORIGIN"))


class Validator:
    """The parts of a validator that answering needs."""

    def __init__(self) -> None:
        self.chain = Chain(make_genesis())
        self.executor: LocalExecutor = self.chain.executor
        self.pool = [1, 2, 3]
        self.syncer = SimpleNamespace(active=False)
        self.on_block: list[Any] = []
        self.on_peer: list[Any] = []
        self.peering = SimpleNamespace(answers={})
        self.organisations = self

    async def of(self, key: bytes) -> str:
        return ORGANISATIONS.get(key, "")


@pytest.fixture
def validator() -> Validator:
    return Validator()


async def ask(validator: Validator, sender: bytes, calls: tuple[Call, ...]) -> EstimateAnswer:
    UserRelay(cast(Any, validator))
    roles, answer = validator.peering.answers[RequestKind.ESTIMATE]
    assert roles == {"user"}
    return decode_payload(await answer(PEER, encode(EstimateRequest(calls_to_wire(calls), sender))), EstimateAnswer)


@pytest.mark.asyncio
async def test_a_user_node_asks_for_its_own_keys_and_for_nobodys(validator: Validator) -> None:
    for sender in (OWN, UNKNOWN):
        answer = await ask(validator, sender, NOTE)
        assert (answer.run.status, answer.run.code, answer.waiting) == (0, "", 3)
    for sender in (FOREIGN, ANONYMOUS):
        with pytest.raises(CarbonnodeError) as caught:
            await ask(validator, sender, NOTE)
        assert caught.value.code == "forbidden"


@pytest.mark.asyncio
@pytest.mark.parametrize(("calls", "code"), [((), "calls"), (NOTE * 65, "calls"), ((Call("notes", "note", ("", "x" * 5_000)),) * 64, "too-large")])
async def test_what_could_be_no_transaction_is_refused(validator: Validator, calls: tuple[Call, ...], code: str) -> None:
    with pytest.raises(CarbonnodeError) as caught:
        await ask(validator, OWN, calls)
    assert caught.value.code == code


@pytest.mark.asyncio
async def test_a_node_that_catches_up_makes_none(validator: Validator) -> None:
    """Its state is old: it would refuse what the network takes. A user node asks another."""
    service = ValidatorService(cast(Any, validator), cast(Any, None), b"", "ORIGIN")
    assert (await service.estimate(NOTE, sender=OWN)).outcome == "OK"
    validator.syncer.active = True
    with pytest.raises(ServiceRefusal) as refused:
        await service.estimate(NOTE, sender=OWN)
    assert refused.value.code == "not-ready"
    with pytest.raises(RemoteError) as caught:
        await ask(validator, OWN, NOTE)
    assert caught.value.code == "busy"


@pytest.mark.asyncio
async def test_they_count_among_the_views_that_wait(validator: Validator) -> None:
    service = ValidatorService(cast(Any, validator), cast(Any, None), b"", "ORIGIN")
    service._views = MAX_VIEWS_WAITING
    with pytest.raises(ServiceRefusal) as refused:
        await service.estimate(NOTE, sender=OWN)
    assert refused.value.code == "busy"


@pytest.mark.asyncio
@pytest.mark.parametrize(("told", "code"), [("unknown-request", "not-available"), ("not-connected", "not-ready"), ("busy", "busy"), ("forbidden", "forbidden")])
async def test_a_user_node_says_why_it_has_none(told: str, code: str) -> None:
    """An older validator knows no such request."""

    async def fail(*_: object) -> bytes:
        raise RemoteError("no", code=told)

    service = UserService(cast(Any, SimpleNamespace(ask=fail)), cast(Any, None), cast(Any, None), cast(Any, None), b"")
    with pytest.raises(ServiceRefusal) as refused:
        await service.estimate(NOTE, sender=OWN)
    assert refused.value.code == code
