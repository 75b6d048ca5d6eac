"""Consensus frames: in order, verified, of our epoch, or the peer's fault."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import pytest_asyncio

from carbonnode.chain.validators import ValidatorSet
from carbonnode.consensus.messages import Message, Prepare, Status, encode_message, prepare_bytes
from carbonnode.node import intake
from carbonnode.node.intake import MOST_OF_A_PEER, Intake
from tests.unit.node.chain_kit import SIGNERS, make_genesis
from tests.unit.node.conftest import CHAIN

pytestmark = pytest.mark.asyncio
DIGEST = b"d" * 32


class Desk:
    def __init__(self, threads: ThreadPoolExecutor) -> None:
        self.validators = make_genesis().validators
        self.delivered: list[tuple[str, Message]] = []
        self.blamed: list[tuple[str, str]] = []
        self.intake = Intake(CHAIN, self._of, threads, lambda peer, message: self.delivered.append((peer, message)), self._blame)

    def _of(self, epoch: int) -> ValidatorSet | None:
        return self.validators if epoch == 0 else None

    def _blame(self, peer: str, points: int, why: str) -> None:
        assert points > 0
        self.blamed.append((peer, why))


@pytest_asyncio.fixture
async def desk() -> AsyncIterator[Desk]:
    with ThreadPoolExecutor(1) as threads:
        yield Desk(threads)


def prepare(height: int, epoch: int = 0, signer: int = 1) -> Prepare:
    return Prepare(epoch, 0, height, DIGEST, signer, SIGNERS[signer].sign(prepare_bytes(CHAIN, epoch, 0, height, DIGEST)))


async def test_a_few_messages_are_delivered_at_once(desk: Desk) -> None:
    status = Status(0, 0, True, 1, 1, (), False)
    desk.intake.take("super-2", [encode_message(prepare(1)), encode_message(status)])
    assert desk.delivered == [("super-2", prepare(1)), ("super-2", status)]


async def test_a_pile_keeps_its_order_and_what_comes_meanwhile_queues_behind(desk: Desk) -> None:
    desk.intake.take("super-2", [encode_message(prepare(height)) for height in range(1, 301)])
    desk.intake.take("super-1", [encode_message(prepare(999))])
    assert desk.delivered == []
    async with asyncio.timeout(20):
        while len(desk.delivered) < 301:
            await asyncio.sleep(0.005)
    heights = [message.height for _, message in desk.delivered if isinstance(message, Prepare)]
    assert heights == [*range(1, 301), 999]


async def test_faults_are_the_peers_and_foreign_epochs_are_dropped(desk: Desk) -> None:
    good = prepare(1)
    forged = Prepare(0, 0, 2, DIGEST, 1, good.signature)
    stranger = Prepare(0, 0, 2, DIGEST, 9, good.signature)
    desk.intake.take("super-2", [encode_message(forged), encode_message(stranger), encode_message(prepare(3, epoch=7)), encode_message(good)])
    assert desk.delivered == [("super-2", good)]
    assert len(desk.blamed) == 2
    assert desk.intake.foreign_epoch == {"super-2": 1}
    desk.intake.take("super-2", [b"junk", encode_message(good), b"more", encode_message(forged)])
    assert len(desk.blamed) == 4  # once for all the junk of a read, once for the forgery behind it
    assert "2 messages are malformed" in desk.blamed[2][1]
    assert len(desk.delivered) == 2


async def test_a_flood_of_one_peer_costs_nobody_else_a_message(desk: Desk) -> None:
    frames = [encode_message(prepare(1))] * (MOST_OF_A_PEER + 500)
    desk.intake.take("super-2", frames)
    desk.intake.take("super-1", [encode_message(prepare(7, signer=0))])
    async with asyncio.timeout(60):
        while len(desk.delivered) < MOST_OF_A_PEER + 1:
            await asyncio.sleep(0.005)
    assert desk.delivered[-1] == ("super-1", prepare(7, signer=0))
    assert desk.intake.dropped == {"super-2": 500}
    count = len(desk.delivered)
    desk.intake.take("super-2", frames[:1])
    assert len(desk.delivered) == count + 1


async def test_long_messages_of_one_peer_have_a_bound_in_bytes(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = encode_message(prepare(1))
    monkeypatch.setattr(intake, "BYTES_OF_A_PEER", 20 * len(frame))
    desk.intake.take("super-2", [frame] * 30)
    assert desk.intake.dropped == {"super-2": 10}
    await desk.intake.stop()
