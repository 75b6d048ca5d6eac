"""Faults: of py-libp2p 0.8.1 (each workaround is named in `carbonnode/network/workarounds.py`), and of peers that misbehave."""

import asyncio
import contextlib
import json
import socket
import struct
import threading
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import pytest
import pytest_asyncio
import trio
from libp2p.exceptions import BaseLibp2pError

from carbonnode.chain.signing import KeySigner
from carbonnode.network import Channel, Limits, Network, PeerAddress, RefusalCode
from carbonnode.network.doorman import PROTOCOLS
from carbonnode.network.handshake import Handshake, OwnSide, refusal_frame
from carbonnode.network.wire import FrameKind, encode_frame, frame_header
from tests.functional.network_harness import CHAIN, Member, Recorder, Town, address_of
from tests.functional.network_rogue import Bystander, Rogue, run_rogue

pytestmark = [pytest.mark.functional, pytest.mark.asyncio]


@pytest_asyncio.fixture
async def town() -> AsyncIterator[Town]:
    town = Town()
    yield town
    await town.close()


async def _besiege(town: Town, act: Callable[[Rogue], Awaitable[None]], rogue: Member, **settings: object) -> tuple[Network, Recorder, Rogue]:
    member = Member(town, "a")
    network, recorder = await town.start(member, **settings)  # type: ignore[arg-type]
    seen = await asyncio.to_thread(run_rogue, rogue, address_of(member, network), act)
    return network, recorder, seen


async def _eventually(condition: Callable[[], bool]) -> None:
    """For counters, which raise no event."""
    async with asyncio.timeout(20):
        while not condition():
            await asyncio.sleep(0.01)


async def _settled(network: Network) -> None:
    """Until no unproven connection is held."""
    await _eventually(lambda: not network.counters.pending and not network.counters.links)


# -- plain TCP ---------------------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "garbage",
    [
        b"GET / HTTP/1.1\r\nHost: x\r\n\r\n",
        bytes(range(256)) * 400,
        b"\xff" * 4096,
        b"\x13/multistream/1.0.0\n" + b"\xff" * 4096,
        b"\x13/multistream/1.0.0\n\x07/noise\n" + b"\xff\xff" + b"\x00" * 70_000,
    ],
)
async def test_garbage_on_the_port_is_dropped_and_counted(town: Town, garbage: bytes) -> None:
    a, on_a, b, on_b = await town.pair()
    assert a.address is not None
    before = a.counters.upgrades_failed
    reader, writer = await asyncio.open_connection(*a.address)
    writer.write(garbage)
    with contextlib.suppress(ConnectionError):
        while await reader.read(65_536):  # until it hangs up on us
            pass
    writer.close()
    await _eventually(lambda: a.counters.upgrades_failed > before)
    a.broadcast(Channel.BULK, b"still here")
    await on_b.until(lambda: on_b.received(Channel.BULK, "a") == [b"still here"])
    assert not on_a.downs
    assert b.counters.links == 1


async def test_connections_that_say_nothing_are_bounded_and_let_go(town: Town) -> None:
    member = Member(town, "a")
    a, on_a = await town.start(member, limits=Limits(max_pending=8, max_pending_per_host=4), handshake_timeout_ms=1_000)
    assert a.address is not None
    idle = [socket.create_connection(a.address) for _ in range(12)]
    await on_a.until(lambda: len([r for r, _ in on_a.refusals if r.code == "too-many-pending"]) == 8)
    assert a.counters.pending <= 4
    for connection in idle:
        await asyncio.to_thread(connection.settimeout, 10)
        assert await asyncio.to_thread(connection.recv, 100) in (b"", b"\x13/multistream/1.0.0\n")
        connection.close()
    await _settled(a)
    _, on_b = await town.start(Member(town, "b"), peers=(address_of(member, a),))
    await on_b.until(lambda: "a" in on_b.up)


# -- libp2p peers that don't keep to the protocol ----------------------------------------------------------------------------------------


def _refusal(data: bytes) -> tuple[str, str]:
    length, kind = struct.unpack_from("!IB", data)
    assert kind == FrameKind.REFUSED
    refusal = json.loads(data[5 : 5 + length])
    return refusal["code"], refusal["message"]


async def test_a_stranger_with_any_bytes_is_refused_by_name(town: Town) -> None:
    answers: list[bytes] = []

    async def act(rogue: Rogue) -> None:
        stream = await rogue.open_stream(PROTOCOLS[0])
        await stream.write(encode_frame(FrameKind.HELLO, b"let me in"))
        answers.append(await rogue.until_closed(stream))

    a, on_a, _ = await _besiege(town, act, Member(town, "rogue"))
    code, message = _refusal(answers[0])
    assert code == "bad-handshake"
    assert "not a readable Hello" in message
    await on_a.until(lambda: on_a.codes(inbound=True) == {"bad-handshake"})
    await _settled(a)


async def test_a_silent_stranger_is_refused_as_no_member(town: Town) -> None:
    answers: list[bytes] = []

    async def act(rogue: Rogue) -> None:
        answers.append(await rogue.until_closed(await rogue.open_stream(PROTOCOLS[0])))

    a, _, _ = await _besiege(town, act, Member(town, "rogue"), handshake_timeout_ms=500)
    assert _refusal(answers[0])[0] == "not-a-member"
    assert a.counters.refused == {"not-a-member": 1}
    await _settled(a)


async def test_a_connection_without_a_handshake_is_closed(town: Town) -> None:
    async def act(rogue: Rogue) -> None:
        stream = await rogue.open_stream(PROTOCOLS[1])
        await stream.write(encode_frame(FrameKind.DATA, b"unproven"))
        await rogue.until_closed(stream)

    a, on_a, _ = await _besiege(town, act, Member(town, "rogue"), handshake_timeout_ms=500)
    await _settled(a)
    assert not on_a.frames
    assert not on_a.ups


async def test_nothing_but_our_protocols_is_served(town: Town) -> None:
    refused: list[str] = []

    async def act(rogue: Rogue) -> None:
        for protocol in ("/ipfs/id/1.0.0", "/ipfs/ping/1.0.0", "/meshsub/1.1.0"):
            try:
                await rogue.open_stream(protocol)
            except Exception as error:  # noqa: BLE001 - any failure to open is what is asked for
                refused.append(type(error).__name__)

    await _besiege(town, act, Member(town, "rogue"))
    assert refused == ["MultiselectClientError"] * 3


async def test_a_replayed_credential_of_another_node_is_refused(town: Town) -> None:
    thief = Member(town, "thief")
    thief.credential = Member(town, "honest").credential

    async def act(rogue: Rogue) -> None:
        await rogue.join()

    a, _, seen = await _besiege(town, act, thief)
    assert seen.refused == "wrong-key"
    assert a.counters.refused == {"wrong-key": 1}


@pytest.mark.parametrize(
    ("stream", "data"),
    [
        (0, frame_header(FrameKind.DATA, 2**31)),
        (0, encode_frame(99, b"x")),
        (0, encode_frame(FrameKind.PING, b"short")),
        (2, encode_frame(FrameKind.PING, b"short")),
        (0, encode_frame(FrameKind.PONG, b"\x7f\xf8" + bytes(6))),
        (0, encode_frame(FrameKind.HELLO, b"again")),
        (1, b"\xde\xad\xbe\xef" * 100),
        (1, encode_frame(FrameKind.REQUEST, bytes(10))),
        (2, encode_frame(FrameKind.REQUEST, b"x")),
        (2, frame_header(FrameKind.RESPONSE, 2**30)),
    ],
)
async def test_a_member_that_breaks_the_protocol_is_dropped_and_banned(town: Town, stream: int, data: bytes) -> None:
    rogue_member = Member(town, "rogue")

    async def act(rogue: Rogue) -> None:
        await rogue.join()
        await rogue.streams[stream].write(data)
        await rogue.until_closed(rogue.streams[0])

    a, on_a, seen = await _besiege(town, act, rogue_member, limits=Limits(first_ban_ms=60_000))
    assert seen.refused == ""
    await on_a.until(lambda: on_a.downs == [("rogue", "violation")])
    assert a.counters.bans == 1

    async def again(rogue: Rogue) -> None:
        await rogue.join()

    assert a.address is not None
    target = address_of(Member(town, "a"), a)
    target = type(target)(name="a", host=target.host, port=target.port, transport_key=a.transport_key)
    assert (await asyncio.to_thread(run_rogue, rogue_member, target, again)).refused == "banned"


async def test_a_dialler_that_refuses_after_the_welcome_is_no_rogue(town: Town) -> None:
    """It may keep another link, or be stopping: two honest nodes that dialled at once banned each other for it."""
    latecomer = Member(town, "late")

    async def act(rogue: Rogue) -> None:
        await rogue.join()
        await rogue.streams[0].write(encode_frame(*refusal_frame(RefusalCode.DUPLICATE, "another link stays")))
        await rogue.until_closed(rogue.streams[0])

    a, on_a, seen = await _besiege(town, act, latecomer)
    assert not seen.refused
    await on_a.until(lambda: on_a.downs == [("late", "refused")])
    assert a.counters.violations == 0
    assert a.counters.bans == 0

    async def again(rogue: Rogue) -> None:
        await rogue.join()

    assert not (await asyncio.to_thread(run_rogue, latecomer, seen.target, again)).refused


async def test_a_peer_that_resets_every_connection_is_dialled_again(town: Town) -> None:
    """A node that is killed between our connect and our first byte: the network thread once died of it."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(0.1)
        ended = threading.Event()

        def reset_all() -> None:
            while not ended.is_set():
                with contextlib.suppress(TimeoutError):
                    connection, _ = server.accept()
                    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
                    connection.close()

        resetting = asyncio.create_task(asyncio.to_thread(reset_all))
        peer = Member(town, "b")
        address = PeerAddress(name="b", host="127.0.0.1", port=server.getsockname()[1], transport_key=peer.key)
        member = Member(town, "a")
        a, on_a = await town.start(member, peers=(address,), redial_base_ms=5, redial_max_ms=10)
        try:
            await _eventually(lambda: a.counters.dials_failed >= 100)
        finally:
            ended.set()
            await resetting
    await town.start(peer, peers=(address_of(member, a),))
    await on_a.until(lambda: "b" in on_a.up)


@pytest.mark.parametrize("stage", ["opened", "greeted", "welcomed"])
async def test_a_connection_left_hanging_in_the_handshake_keeps_no_restarted_peer_out(town: Town, stage: str) -> None:
    """As if the peer's machine had lost its power there: its old connection stays open and says nothing, and it comes back under the same key."""
    member, twin = Member(town, "a"), Member(town, "b")
    back = threading.Event()
    hanging = threading.Event()

    async def act(rogue: Rogue) -> None:
        if stage == "welcomed":
            await rogue.join()
        else:
            rogue.streams = [await rogue.open_stream(protocol) for protocol in PROTOCOLS]
        if stage == "greeted":
            own = OwnSide(KeySigner(twin.seed), twin.credential, CHAIN, "b", bytes(16))
            handshake = Handshake(own, member.key, lambda _c, key: Bystander("x", "y", "super", key), bytes(32), outbound=True)
            await rogue.streams[0].write(b"".join(encode_frame(*frame) for frame in handshake.begin()))
            await rogue.streams[0].read(65_536)
        hanging.set()
        while not back.is_set():
            await trio.sleep(0.02)

    a, on_a = await town.start(member)
    hangs = asyncio.create_task(asyncio.to_thread(run_rogue, twin, address_of(member, a), act))
    await asyncio.to_thread(hanging.wait, 30)
    b, on_b = await town.start(twin, peers=(address_of(member, a),))
    await on_b.until(lambda: "a" in on_b.up)
    for channel in Channel:
        assert a.send("b", channel, b"from a")
        assert b.send("a", channel, b"from b")
        await on_a.until(lambda c=channel: on_a.received(c, "b") == [b"from b"])  # type: ignore[misc]
        await on_b.until(lambda c=channel: on_b.received(c, "a") == [b"from a"])  # type: ignore[misc]
    assert on_a.downs == ([("b", "restarted")] if stage == "welcomed" else [])
    back.set()
    await hangs


async def test_a_second_handshake_stream_closes_the_connection(town: Town) -> None:
    async def act(rogue: Rogue) -> None:
        await rogue.join()
        with contextlib.suppress(BaseLibp2pError):
            await rogue.open_stream(PROTOCOLS[0])
        await rogue.until_closed(rogue.streams[0])

    a, on_a, _ = await _besiege(town, act, Member(town, "rogue"))
    await on_a.until(lambda: on_a.downs == [("rogue", "closed")])
    await _settled(a)


async def test_a_peer_that_reads_nothing_is_closed_as_stalled(town: Town) -> None:
    member, rogue_member = Member(town, "a"), Member(town, "rogue")
    a, on_a = await town.start(member, write_stall_ms=1_500, dead_after_ms=60_000)

    async def act(rogue: Rogue) -> None:
        await rogue.join()
        await rogue.until_closed(rogue.streams[0])

    acting = asyncio.create_task(asyncio.to_thread(run_rogue, rogue_member, address_of(member, a), act))
    await on_a.until(lambda: "rogue" in on_a.up)
    assert a.send("rogue", Channel.BULK, bytes(4_000_000))  # several windows; the rogue reads no bulk
    await on_a.until(lambda: on_a.downs == [("rogue", "stalled")])
    await acting


async def test_a_peer_that_ignores_its_window_is_closed(town: Town) -> None:
    member = Member(town, "a")
    a, on_a = await town.start(member, limits=Limits(max_unread_bytes=100_000))
    stalls = iter([2.0])
    on_a.on_frame = lambda: time.sleep(next(stalls, 0.0))

    async def act(rogue: Rogue) -> None:
        await rogue.join()
        with contextlib.suppress(BaseLibp2pError):
            for _ in range(100):
                rogue.streams[1].muxed_stream.send_window = 2**30
                await rogue.streams[1].write(encode_frame(FrameKind.DATA, bytes(60_000)))
        await rogue.until_closed(rogue.streams[0])

    await asyncio.to_thread(run_rogue, Member(town, "rogue"), address_of(member, a), act)
    await on_a.until(lambda: on_a.downs == [("rogue", "closed")])
    assert sum(len(frame) for _, _, frame in on_a.frames) < 2 * 1024 * 1024


async def test_a_mute_peer_is_closed_as_silent(town: Town) -> None:
    async def act(rogue: Rogue) -> None:
        await rogue.join()
        await rogue.until_closed(rogue.streams[0])

    a, on_a, _ = await _besiege(town, act, Member(town, "rogue"), heartbeat_ms=200, dead_after_ms=800)
    await on_a.until(lambda: on_a.downs == [("rogue", "silent")])
    assert a.counters.heartbeats_missed >= 1


@pytest.mark.parametrize("dead", [0, 1, 2])
async def test_a_link_one_of_whose_streams_brings_nothing_is_closed_as_deaf(town: Town, dead: int) -> None:
    """Bytes come, so the peer isn't silent; but a validator behind such a link hears nothing of consensus (or of transactions, or no answer) for hours."""

    async def act(rogue: Rogue) -> None:
        await rogue.join()
        await rogue.streams[dead].write(frame_header(FrameKind.DATA if dead < 2 else FrameKind.RESPONSE, 4_000_000))  # it never ends
        with contextlib.suppress(BaseLibp2pError):
            while True:
                for number, stream in enumerate(rogue.streams):
                    await stream.write(bytes(10) if number == dead else encode_frame(FrameKind.PING, bytes(8)))
                await trio.sleep(0.05)

    _, on_a, _ = await _besiege(town, act, Member(town, "rogue"), heartbeat_ms=200, dead_after_ms=800)
    await on_a.until(lambda: on_a.downs == [("rogue", "deaf")])


async def test_a_large_frame_on_a_slow_line_is_not_taken_for_deafness(town: Town) -> None:
    """Its heartbeats wait behind it, while those of the other streams go on."""

    async def act(rogue: Rogue) -> None:
        await rogue.join()
        await rogue.streams[0].write(frame_header(FrameKind.DATA, 600_000))
        for part in range(100):
            await rogue.streams[0].write(bytes(6_000))
            if part % 5 == 0:
                for stream in rogue.streams[1:]:
                    await stream.write(encode_frame(FrameKind.PING, bytes(8)))
            await trio.sleep(0.02)

    _, on_a, _ = await _besiege(town, act, Member(town, "rogue"), heartbeat_ms=200, dead_after_ms=800)
    await on_a.until(lambda: bool(on_a.received(Channel.CONSENSUS, "rogue")))
    assert on_a.received(Channel.CONSENSUS, "rogue") == [bytes(600_000)]
    assert ("rogue", "deaf") not in on_a.downs


async def test_a_slow_sender_of_bulk_is_not_mistaken_and_a_fast_one_is_slowed(town: Town) -> None:
    a, _, _, on_b = await town.pair(limits=Limits(max_bulk_bytes_per_s=1_000_000))
    began = time.monotonic()
    for _ in range(60):
        a.send("b", Channel.BULK, bytes(100_000))
    await on_b.until(lambda: len(on_b.frames) == 60)
    assert time.monotonic() - began > 1.5  # 6 MB, of which the window and the first second's allowance passes at once
    assert not on_b.downs


# -- faults of the library ---------------------------------------------------------------------------------------------------------------


@pytest.mark.slow
async def test_a_daemon_that_stalls_for_seconds_loses_nothing(town: Town) -> None:
    """py-libp2p resets a stream whose reader stalls for 5 s."""
    a, on_a, _, on_b = await town.pair(limits=Limits(max_unread_bytes=200_000))
    stalls = iter([7.0])
    on_b.on_frame = lambda: time.sleep(next(stalls, 0.0))
    frames = [struct.pack("!I", number) * 5_000 for number in range(400)]
    for frame in frames:
        assert a.send("b", Channel.BULK, frame)
    await on_b.until(lambda: len(on_b.frames) == len(frames))
    assert on_b.received(Channel.BULK, "a") == frames
    assert not on_a.downs
    assert not on_b.downs


async def test_concurrent_writers_on_one_connection_do_not_interleave(town: Town) -> None:
    a, _, b, on_b = await town.pair()

    async def echo(_peer: object, _kind: int, payload: bytes) -> bytes:
        return payload

    b.set_request_handler(echo)
    bulk = [bytes([number]) * 150_000 for number in range(40)]
    votes = [struct.pack("!I", number) * 30_000 for number in range(40)]
    requests = [asyncio.create_task(a.request("b", 1, bytes([number]) * 200_000, 30)) for number in range(10)]
    for one, other in zip(bulk, votes, strict=True):
        a.send("b", Channel.BULK, one)
        a.send("b", Channel.CONSENSUS, other)
    await on_b.until(lambda: len(on_b.frames) == 80)
    assert on_b.received(Channel.BULK, "a") == bulk
    assert on_b.received(Channel.CONSENSUS, "a") == votes
    assert await asyncio.gather(*requests) == [bytes([number]) * 200_000 for number in range(10)]


async def test_a_full_queue_drops_and_counts(town: Town) -> None:
    a, on_a, _, _ = await town.pair(limits=Limits(max_queue_bytes=1_000_000))
    taken = sum(a.send("b", Channel.BULK, bytes(100_000)) for _ in range(1_000))
    assert taken < 1_000
    assert a.counters.frames_dropped == 1_000 - taken
    assert not on_a.downs
