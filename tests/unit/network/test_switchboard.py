"""The table of links: which of two stays, who is let in, what is told."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from carbonnode.chain.signing import KeySigner
from carbonnode.errors import PeerViolation
from carbonnode.network.config import Limits, NetworkConfig, PeerAddress
from carbonnode.network.metrics import NetworkCounters
from carbonnode.network.peer import CloseReason, PeerIdentity, RefusalCode
from carbonnode.network.reception import Reception
from carbonnode.network.requests import RequestDesk
from carbonnode.network.shared import Bridge, LinkHandle
from carbonnode.network.switchboard import SIMULTANEOUS_MS, Switchboard

LOW, HIGH = sorted((KeySigner(bytes([n]) * 32) for n in (1, 2)), key=lambda signer: signer.public_key)


@dataclass
class Who:
    name: str
    organisation: str
    role: str
    transport_key: bytes


@dataclass
class FakeLink:
    handle: LinkHandle
    instance: bytes = b"one"
    credential: bytes = b"good"
    closed: list[str] = field(default_factory=list)

    def close(self, reason: str) -> None:
        self.closed.append(reason)


class Silent:
    """A handler that only writes down."""

    def __init__(self) -> None:
        self.told: list[tuple[object, ...]] = []

    def on_frames(self, *event: object) -> None:
        self.told.append(("frames", *event))

    def on_peer_up(self, peer: PeerIdentity) -> None:
        self.told.append(("up", peer.name))

    def on_peer_down(self, peer: PeerIdentity, reason: str) -> None:
        self.told.append(("down", peer.name, reason))

    def on_redial(self, name: str, outcome: str) -> None:
        self.told.append(("redial", name, outcome))

    def on_refused(self, address: str, refusal: object, inbound: bool) -> None:
        self.told.append(("refused", refusal, inbound))


def _verify(credential: bytes, key: bytes) -> Who:
    if credential != b"good":
        raise PeerViolation("no", code="revoked")
    return Who("peer", "org", "super", key)


class Bench:
    """A switchboard with a clock to turn and a loop whose jobs run on demand."""

    def __init__(self, own: KeySigner, **limits: int) -> None:
        self.now = 10_000
        self.handler = Silent()
        self.loop = asyncio.new_event_loop()
        counters = NetworkCounters()
        lim = Limits(**limits)
        desk = RequestDesk(lim, counters)
        config = NetworkConfig(node_name="self", chain_id=bytes(32), limits=lim)
        self.reception = Reception(self.handler, desk, lambda *_: None)
        self.board = Switchboard(config, own, b"good", _verify, counters, self.reception)
        self.stopped: list[bool] = []
        bridge = Bridge(self.loop, lambda error: pytest.fail(repr(error)))
        self.board.attach(bridge, b"me", lambda: self.now, lambda: self.stopped.append(True))

    def link(self, peer: KeySigner, *, outbound: bool, name: str = "peer", instance: bytes = b"one") -> FakeLink:
        who = Who(name, "org", "super", peer.public_key)
        return FakeLink(LinkHandle(who, "1.2.3.4:5", outbound, self.now, lambda: None), instance)

    def told(self) -> list[tuple[object, ...]]:
        self.loop.run_until_complete(asyncio.sleep(0))
        told, self.handler.told = self.handler.told, []
        return told


@pytest.fixture(params=["low", "high"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    bench = Bench(LOW if request.param == "low" else HIGH)
    yield bench
    bench.loop.close()


def _other(bench: Bench) -> KeySigner:
    return HIGH if bench.board.own_key == LOW.public_key else LOW


def test_of_two_simultaneous_links_the_lower_keys_stays(bench: Bench) -> None:
    peer = _other(bench)
    preferred_outbound = bench.board.own_key < peer.public_key
    for first in (True, False):
        one, two = bench.link(peer, outbound=first), bench.link(peer, outbound=not first)
        bench.board.admit(one)
        bench.now += SIMULTANEOUS_MS - 1
        if first == preferred_outbound:
            with pytest.raises(PeerViolation) as caught:
                bench.board.admit(two)
            assert caught.value.code == RefusalCode.DUPLICATE
            bench.board.remove(one, "closed")
        else:
            bench.board.admit(two)
            assert one.closed == [CloseReason.REPLACED]
            bench.board.remove(one, "replaced")
            bench.board.remove(two, "closed")
    told = bench.told()
    assert [event[0] for event in told] == ["up", "down", "up", "down"]


def test_the_lower_key_refuses_while_it_dials_itself(bench: Bench) -> None:
    peer = _other(bench)
    bench.board.dialling[peer.public_key] = bench.now
    bench.now += bench.board.config.dial_timeout_ms - 1
    inbound = bench.link(peer, outbound=False)
    if bench.board.own_key < peer.public_key:
        with pytest.raises(PeerViolation) as caught:
            bench.board.admit(inbound)
        assert caught.value.code == RefusalCode.DUPLICATE
        bench.now += 1  # its own dial hangs: were it the only judge, neither side would get through, and neither would say so
    bench.board.admit(inbound)
    assert bench.told() == [("up", "peer")]


def test_a_later_link_or_another_process_takes_over(bench: Bench) -> None:
    peer = _other(bench)
    old = bench.link(peer, outbound=True)
    old.handle.outboxes[0].put(16, b"queued")
    bench.board.admit(old)
    bench.now += SIMULTANEOUS_MS
    new = bench.link(peer, outbound=False)
    bench.board.admit(new)
    assert old.closed == [CloseReason.REPLACED]
    assert new.handle.outboxes[0].take(100) == [(16, b"queued")]
    assert bench.told() == [("up", "peer")]
    new.handle.outboxes[0].put(16, b"for a process that is gone")
    restarted = bench.link(peer, outbound=True, instance=b"two")
    bench.board.admit(restarted)
    assert new.closed == [CloseReason.RESTARTED]
    assert restarted.handle.outboxes[0].take(100) == []
    # The new process knows nothing of what the old one was told: the daemon must hear of it, or it tells it nothing.
    assert bench.told() == [("down", "peer", CloseReason.RESTARTED), ("up", "peer")]
    again = bench.link(peer, outbound=True, instance=b"two")
    bench.board.admit(again)
    assert restarted.closed == [CloseReason.REPLACED]
    assert bench.told() == []
    assert bench.reception.links["peer"] is again.handle


def test_frames_put_before_the_daemon_hears_of_a_new_link_wake_its_writer(bench: Bench) -> None:
    """And answers to requests that came on an old link: they lay in the shared queue until something else was sent."""
    peer = _other(bench)
    links = [bench.link(peer, outbound=True) for _ in range(3)]
    woken: list[int] = []
    for number, link in enumerate(links):
        link.handle.wake = lambda n=number: woken.append(n)  # type: ignore[misc]
        bench.board.admit(link)
    links[0].handle.outboxes[2].put(33, b"an answer")
    links[0].handle.rouse()
    assert woken == [2]
    assert links[2].handle.outboxes[2].take(100) == [(33, b"an answer")]


def test_limits_blocks_and_bans(bench: Bench) -> None:
    bench.board.config = NetworkConfig(node_name="self", chain_id=bytes(32), limits=Limits(max_links=1))
    peer, second = _other(bench), KeySigner(b"\x05" * 32)
    link = bench.link(peer, outbound=True)
    bench.board.admit(link)
    with pytest.raises(PeerViolation) as caught:
        bench.board.admit(bench.link(second, outbound=True, name="second"))
    assert caught.value.code == RefusalCode.TOO_MANY_LINKS
    bench.board.set_blocked(frozenset({"peer"}))
    assert link.closed == [CloseReason.BLOCKED]
    with pytest.raises(PeerViolation) as caught:
        bench.board.verify(b"good", peer.public_key)
    assert caught.value.code == RefusalCode.BLOCKED
    bench.board.set_blocked(frozenset())
    bench.board.report("peer", 100, "forged votes")
    assert CloseReason.VIOLATION in link.closed
    with pytest.raises(PeerViolation) as caught:
        bench.board.verify(b"good", peer.public_key)
    assert caught.value.code == RefusalCode.BANNED
    bench.board.pardon("peer")
    assert bench.board.verify(b"good", peer.public_key).name == "peer"
    with pytest.raises(PeerViolation) as caught:
        bench.board.verify(b"good", bench.board.own_key)
    assert caught.value.code == RefusalCode.SELF


def test_recheck_closes_whom_the_verifier_no_longer_knows(bench: Bench) -> None:
    peer = _other(bench)
    link = bench.link(peer, outbound=True)
    bench.board.admit(link)
    bench.board.recheck()
    assert link.closed == []
    link.credential = b"bad"
    bench.board.recheck()
    assert link.closed == [CloseReason.REVOKED]
    assert bench.board.counters.refused == {"revoked": 1}


def test_handshake_faults_score_the_key(bench: Bench) -> None:
    key = _other(bench).public_key
    for _ in range(4):
        bench.board.refused(key, "1.2.3.4:5", PeerViolation("x", code="bad-handshake"), inbound=True)
    assert bench.board.counters.bans == 1
    assert len([event for event in bench.told() if event[0] == "refused"]) == 4
    bench.board.refused(None, "1.2.3.4:5", PeerViolation("x", code="not-a-member"), inbound=True)
    assert bench.board.counters.refused["not-a-member"] == 1


def test_stop_closes_all(bench: Bench) -> None:
    link = bench.link(_other(bench), outbound=True)
    bench.board.admit(link)
    bench.board.stop()
    assert link.closed == [CloseReason.STOPPED]
    assert bench.stopped == [True]
    with pytest.raises(PeerViolation) as caught:
        bench.board.admit(bench.link(KeySigner(b"\x07" * 32), outbound=False, name="late"))
    assert caught.value.code == RefusalCode.STOPPING


def test_changes_of_the_table_are_announced(bench: Bench) -> None:
    changes: list[int] = []
    bench.board.on_table_change.append(lambda: changes.append(len(bench.board.peers)))
    peer = _other(bench)
    bench.board.set_peers((PeerAddress(name="peer", host="h", port=1, transport_key=peer.public_key),))
    link = bench.link(peer, outbound=True)
    bench.board.admit(link)
    bench.board.remove(link, "closed")
    assert changes == [1, 1, 1]
