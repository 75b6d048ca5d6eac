"""Links between several hosts on loopback: frames, requests, refusals by name, reconnects."""

import asyncio
import time
from collections.abc import AsyncIterator

import msgspec
import pytest
import pytest_asyncio

from carbonnode.errors import ConfigError, InvalidBlock, RemoteError
from carbonnode.identity import RevocationList
from carbonnode.network import Channel, Limits, NetworkConfig, PeerIdentity
from tests.functional.network_harness import CHAIN, DAY, Member, Town, address_of, free_port

pytestmark = [pytest.mark.functional, pytest.mark.asyncio]


@pytest_asyncio.fixture
async def town() -> AsyncIterator[Town]:
    town = Town()
    yield town
    await town.close()


async def test_four_nodes_link_up_and_flood_in_order(town: Town) -> None:
    members = [Member(town, name) for name in ("super-1", "super-2", "coordination-1", "coordination-2")]
    nodes = await town.mesh(*members)
    for member, (network, _) in zip(members, nodes, strict=True):
        for number in range(500):
            assert network.broadcast(Channel.BULK, f"{member.name} {number}".encode() * 20) == 3
        for number in range(50):
            assert network.broadcast(Channel.CONSENSUS, f"vote {number}".encode()) == 3
    for member, (_, recorder) in zip(members, nodes, strict=True):
        await recorder.until(lambda r=recorder: len(r.frames) == 3 * 550)  # type: ignore[misc]
        for other in members:
            if other is not member:
                assert recorder.received(Channel.BULK, other.name) == [f"{other.name} {n}".encode() * 20 for n in range(500)]
                assert recorder.received(Channel.CONSENSUS, other.name) == [f"vote {n}".encode() for n in range(50)]
    network = nodes[0][0]
    assert {row.name for row in network.peers()} == {"super-2", "coordination-1", "coordination-2"}
    assert all(row.connected and row.organisation == f"{row.name}-org" and row.connected_ms >= 0 for row in network.peers())
    assert network.counters.links == 3
    assert network.counters.writes < network.counters.frames_out


async def test_large_frames_arrive_whole_beside_small_ones(town: Town) -> None:
    a, _, b, on_b = await town.pair()
    large = [bytes([n]) * (3_000_000 + n) for n in range(3)]
    for frame in large:
        assert a.send("b", Channel.BULK, frame)
        assert a.send("b", Channel.CONSENSUS, b"vote")
    await on_b.until(lambda: len(on_b.frames) == 6)
    assert on_b.received(Channel.BULK, "a") == large
    assert on_b.received(Channel.CONSENSUS, "a") == [b"vote"] * 3
    assert not a.send("b", Channel.BULK, bytes(a.config.limits.max_frame_bytes + 1))
    assert not a.send("nobody", Channel.BULK, b"x")
    assert a.counters.frames_dropped == 2
    assert b.is_connected("a")


async def test_requests_and_their_failures(town: Town) -> None:
    limits = Limits(max_requests_in_flight=2, max_response_bytes=2_000_000)
    a, _, b, _ = await town.pair(limits=limits)
    release = asyncio.Event()

    async def serve(peer: PeerIdentity, kind: int, payload: bytes) -> bytes:
        if kind == 1:
            return peer.name.encode() + payload * 3
        if kind == 2:
            raise InvalidBlock("height 9 isn't known here", code="not-found")
        if kind == 3:
            return bytes(limits.max_response_bytes + 1)
        await release.wait()
        return b"late"

    with pytest.raises(RemoteError) as caught:
        await a.request("b", 1, b"x", 5)
    assert caught.value.code == "not-served"
    b.set_request_handler(serve)
    assert await a.request("b", 1, bytes(500_000), 10) == b"a" + bytes(1_500_000)
    answers = await asyncio.gather(*(a.request("b", 1, str(n).encode(), 10) for n in range(2)))
    assert answers == [b"a000", b"a111"]
    for kind, code in ((2, "not-found"), (3, "too-large")):
        with pytest.raises(RemoteError) as caught:
            await a.request("b", kind, b"", 5)
        assert caught.value.code == code
    with pytest.raises(RemoteError) as caught:
        await a.request("b", 1, bytes(limits.max_request_bytes + 1), 5)
    assert caught.value.code == "too-large"
    with pytest.raises(RemoteError) as caught:
        await a.request("c", 1, b"", 5)
    assert caught.value.code == "not-connected"
    with pytest.raises(RemoteError) as caught:
        await a.request("b", 4, b"", 0.05)
    assert caught.value.code == "timeout"
    second = asyncio.create_task(a.request("b", 4, b"", 10))
    await asyncio.sleep(0)
    with pytest.raises(RemoteError) as caught:
        await a.request("b", 4, b"", 10)
    assert caught.value.code == "busy"
    release.set()
    assert await second == b"late"
    assert await a.request("b", 1, b"y", 5) == b"ayyy"


async def test_requests_fail_when_the_link_closes(town: Town) -> None:
    a, on_a, b, _ = await town.pair()
    asked = asyncio.Event()

    async def never(_peer: PeerIdentity, _kind: int, _payload: bytes) -> bytes:
        asked.set()
        await asyncio.Event().wait()
        return b""

    b.set_request_handler(never)
    request = asyncio.create_task(a.request("b", 1, b"", 20))
    await asked.wait()
    await b.stop()
    with pytest.raises(RemoteError) as caught:
        await request
    assert caught.value.code == "closed"
    await on_a.until(lambda: on_a.downs == [("b", "closed")])


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"not_before_ms": 0, "not_after_ms": DAY}, "expired"),
        ({"domain": "b.elsewhere.example"}, "wrong-domain"),
        ({"chain_id": bytes(32)}, "wrong-chain"),
        ({"role": "admin"}, "wrong-role"),
    ],
)
async def test_a_bad_certificate_is_refused_by_name_on_both_sides(town: Town, changes: dict[str, object], code: str) -> None:
    member, bad = Member(town, "a"), Member(town, "b", **changes)
    a, on_a = await town.start(member)
    _, on_b = await town.start(bad, peers=(address_of(member, a),))
    await on_b.until(lambda: ("a", code) in on_b.redials)
    await on_a.until(lambda: code in on_a.codes(inbound=True))
    assert code in on_b.codes(inbound=False)
    assert a.counters.refused[code] >= 1
    assert not on_a.up
    assert not on_b.up


async def test_a_foreign_authority_and_a_missing_certificate_are_refused(town: Town) -> None:
    member = Member(town, "a")
    a, on_a = await town.start(member)
    foreign = Town()
    foreign.store = town.store
    _, on_b = await foreign.start(Member(foreign, "b"), peers=(address_of(member, a),))
    nobody = Member(town, "c")
    nobody.credential = b""
    _, on_c = await foreign.start(nobody, peers=(address_of(member, a),))
    try:
        await on_b.until(lambda: ("a", "untrusted-ca") in on_b.redials)
        await on_c.until(lambda: ("a", "not-a-member") in on_c.redials)
        await on_a.until(lambda: {"untrusted-ca", "not-a-member"} <= on_a.codes(inbound=True))
    finally:
        await foreign.close()


async def test_the_dialler_verifies_too(town: Town) -> None:
    bad = Member(town, "b", role="admin")
    b, on_b = await town.start(bad)
    a, on_a = await town.start(Member(town, "a"), peers=(address_of(bad, b),))
    await on_a.until(lambda: ("b", "wrong-role") in on_a.redials)
    await on_b.until(lambda: "wrong-role" in on_b.codes(inbound=False))
    assert a.counters.refused["wrong-role"] >= 1


async def test_a_foreign_chain_is_refused(town: Town) -> None:
    member = Member(town, "a")
    a, on_a = await town.start(member)
    _, on_b = await town.start(Member(town, "b"), peers=(address_of(member, a),), chain_id=bytes(32))
    await on_b.until(lambda: ("a", "wrong-chain") in on_b.redials)
    await on_a.until(lambda: "wrong-chain" in on_a.codes(inbound=True))


async def test_another_key_or_name_at_an_address_is_refused(town: Town) -> None:
    member, other = Member(town, "a"), Member(town, "other")
    a, _ = await town.start(member)
    address = address_of(member, a)
    peers = (msgspec.structs.replace(address, name="x", transport_key=other.key), msgspec.structs.replace(address, name="y"))
    _, on_b = await town.start(Member(town, "b"), peers=peers)
    await on_b.until(lambda: {("x", "wrong-peer"), ("y", "wrong-peer")} <= set(on_b.redials))
    assert not on_b.up


async def test_revocation_closes_a_live_link(town: Town) -> None:
    a, on_a, b, on_b = await town.pair()
    town.store.set_revocations(RevocationList().with_governance(transport_keys=[b.transport_key]))
    a.recheck()
    await on_a.until(lambda: on_a.downs == [("b", "revoked")])
    await on_b.until(lambda: ("a", "revoked") in on_b.redials or "revoked" in on_a.codes(inbound=True))
    assert not a.is_connected("b")


async def test_blocking_and_unblocking_a_peer(town: Town) -> None:
    a, on_a, _, on_b = await town.pair()
    a.block("b")
    await on_a.until(lambda: on_a.downs == [("b", "blocked")])
    assert [row.blocked for row in a.peers() if row.name == "b"] == [True]
    await on_b.until(lambda: "blocked" in on_b.codes(inbound=False) or "blocked" in on_a.codes(inbound=False) or ("a", "blocked") in on_b.redials)
    a.unblock("b")
    await on_a.until(lambda: "b" in on_a.up)


async def test_reported_faults_add_up_to_a_ban(town: Town) -> None:
    a, on_a, b, on_b = await town.pair(limits=Limits(first_ban_ms=1_500))
    a.report("b", 60, "three bad signatures")
    a.report("b", 60, "three more")
    await on_a.until(lambda: ("b", "violation") in on_a.downs)
    assert a.counters.bans == 1
    await on_b.until(lambda: "a" not in on_b.up)
    await on_a.until(lambda: "banned" in on_a.codes(inbound=True) | on_a.codes(inbound=False))
    await on_a.until(lambda: "b" in on_a.up)  # the ban runs out, and the peers find each other again
    await on_b.until(lambda: b.is_connected("a"))


async def test_who_is_banned_is_told_so_and_pardoned(town: Town) -> None:
    """Or its operator would see a link that closed, and nothing else for a minute."""
    a, on_a, _, on_b = await town.pair(limits=Limits(first_ban_ms=60_000))
    a.report("b", 100, "forged votes")
    await on_b.until(lambda: "banned" in on_b.codes(inbound=False))
    a.unblock("b")
    ups = on_a.ups
    await on_a.until(lambda: on_a.ups > ups)
    await on_b.until(lambda: "a" in on_b.up)


async def test_a_busy_port_is_named(town: Town) -> None:
    a, _ = await town.start(Member(town, "a"))
    assert a.address is not None
    with pytest.raises(ConfigError, match=f"port {a.address[1]} on 127.0.0.1 is in use"):
        await town.start(Member(town, "b"), port=a.address[1])


async def test_a_peer_that_starts_late_is_found_soon(town: Town) -> None:
    late, port = Member(town, "late"), free_port()
    a = Member(town, "a")
    address = msgspec.structs.replace(address_of(a, (await town.start(a))[0]), name="late", port=port, transport_key=late.key)
    _, on_b = await town.start(Member(town, "b"), peers=(address,))
    await on_b.until(lambda: on_b.redials.count(("late", "refused")) >= 4)
    began = time.monotonic()
    await town.start(late, port=port)
    await on_b.until(lambda: "late" in on_b.up)
    assert time.monotonic() - began < 6  # a failed dial blacklists nobody for a minute


async def test_forty_reconnects_leave_no_slot_held(town: Town) -> None:
    member, limits = Member(town, "a"), Limits(max_links=4, max_pending=4)
    a, on_a = await town.start(member, limits=limits)
    for number in range(40):
        guest, on_guest = await town.start(Member(town, f"guest-{number}"), peers=(address_of(member, a),))
        await on_guest.until(lambda r=on_guest: "a" in r.up)  # type: ignore[misc]
        await guest.stop()
        await on_a.until(lambda: not on_a.up)
    assert len(on_a.downs) == 40
    assert a.counters.accepted == 40
    assert (a.counters.links, a.counters.pending) == (0, 0)


async def test_links_are_limited(town: Town) -> None:
    member = Member(town, "a")
    a, on_a = await town.start(member, limits=Limits(max_links=1))
    _, on_b = await town.start(Member(town, "b"), peers=(address_of(member, a),))
    await on_b.until(lambda: "a" in on_b.up)
    _, on_c = await town.start(Member(town, "c"), peers=(address_of(member, a),))
    await on_c.until(lambda: ("a", "too-many-links") in on_c.redials)
    assert set(on_a.up) == {"b"}


async def test_a_credential_can_be_replaced_without_a_restart(town: Town) -> None:
    member, expired = Member(town, "a"), Member(town, "b", not_before_ms=0, not_after_ms=DAY)
    a, _ = await town.start(member)
    b, on_b = await town.start(expired, peers=(address_of(member, a),), redial_max_ms=300)
    await on_b.until(lambda: ("a", "expired") in on_b.redials)
    renewed = Member(town, "b", transport_key=expired.key)
    b.replace_credential(renewed.credential)
    await on_b.until(lambda: "a" in on_b.up)


async def test_settings_are_checked() -> None:
    good = NetworkConfig(node_name="a", chain_id=CHAIN)
    for change in ({"chain_id": b"x"}, {"port": 70_000}, {"heartbeat_ms": 0}, {"dead_after_ms": 500}):
        with pytest.raises(ConfigError, match="network: "):
            msgspec.structs.replace(good, **change).validate()
