"""Flooding: full frames, each transaction once."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbonnode.errors import PeerViolation
from carbonnode.network.flood import Flooder, SeenHashes, pack_transactions, unpack_transactions


@given(st.lists(st.binary(min_size=1, max_size=300), max_size=50))
def test_packed_and_unpacked(transactions: list[bytes]) -> None:
    assert unpack_transactions(pack_transactions(transactions)) == transactions


@pytest.mark.parametrize("body", [b"\0\0", b"\0\0\0\0", b"\0\0\0\x05abcd", b"\xff\xff\xff\xff", pack_transactions([b"x"]) + b"\0"])
def test_broken_batches_are_refused(body: bytes) -> None:
    with pytest.raises(PeerViolation) as caught:
        unpack_transactions(body)
    assert caught.value.code == "bad-batch"


def test_a_batch_is_bounded_in_number() -> None:
    with pytest.raises(PeerViolation, match="more than 3"):
        unpack_transactions(pack_transactions([b"x"] * 4), max_transactions=3)


def test_each_transaction_is_relayed_once() -> None:
    frames: list[bytes] = []
    flooder = Flooder(frames.append)
    assert flooder.offer(b"h1", b"one")
    assert not flooder.offer(b"h1", b"one")
    assert flooder.received(b"h2")
    assert not flooder.offer(b"h2", b"two")
    assert not flooder.received(b"h1")
    flooder.flush()
    flooder.flush()
    assert [unpack_transactions(frame) for frame in frames] == [[b"one"]]
    assert flooder.waiting == 0


def test_frames_stay_below_their_size() -> None:
    frames: list[bytes] = []
    flooder = Flooder(frames.append, max_batch_bytes=1_000)
    sent = [bytes([number]) * 250 for number in range(10)]
    for number, raw in enumerate(sent):
        flooder.offer(bytes([number]), raw)
    flooder.offer(b"large", b"L" * 5_000)
    flooder.flush()
    assert [raw for frame in frames for raw in unpack_transactions(frame)] == [*sent, b"L" * 5_000]
    assert all(len(frame) <= 1_000 for frame in frames[:-1])
    assert unpack_transactions(frames[-1]) == [b"L" * 5_000]


def test_the_memory_of_hashes_is_bounded() -> None:
    seen = SeenHashes(3)
    for number in range(5):
        assert seen.add(bytes([number]))
    assert len(seen) == 3
    assert b"\x04" in seen
    assert b"\x00" not in seen
    with pytest.raises(ValueError, match="positive"):
        SeenHashes(0)
