"""Batches: digest from the bytes, duplicates and odd sizes refused."""

import msgpack
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbonnode.chain.batch import NULL_BATCH, Batch
from carbonnode.errors import InvalidBlock


@given(st.integers(0, 2**62), st.lists(st.binary(min_size=32, max_size=32), unique=True, max_size=20))
def test_round_trip(time_ms: int, hashes: list[bytes]) -> None:
    """Decoding gives the same batch with the same digest."""
    batch = Batch(time_ms, tuple(hashes))
    again = Batch.decode(batch.encoded)
    assert (again.time_ms, again.wire_hashes, again.digest) == (time_ms, tuple(hashes), batch.digest)


def test_duplicates_wrong_hashes_and_negative_times_are_refused() -> None:
    """A batch can't name a transaction twice."""
    for fields in ([1, [b"a" * 32, b"a" * 32], []], [1, [b"a" * 31], []], [-1, [], []], [1, [], [], 5], [1.0, [], []]):
        with pytest.raises(InvalidBlock):
            Batch.decode(msgpack.packb(fields))


def test_the_null_batch_is_an_ordinary_empty_batch() -> None:
    """It has a digest of its own like any other."""
    assert Batch.decode(NULL_BATCH.encoded).digest == NULL_BATCH.digest


@given(st.binary(max_size=200))
def test_garbage(data: bytes) -> None:
    """Random bytes are refused with a typed error or are canonical."""
    try:
        batch = Batch.decode(data)
    except InvalidBlock:
        return
    assert batch.encoded == data
