"""Contract values: round trips, canonical form, and what is refused."""

import msgpack
import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from carbonnode.chain.values import INT_LIMIT, Value, bytes_to_int, decode_value, encode_value, int_to_bytes
from carbonnode.errors import InvalidTransaction

scalars = st.none() | st.booleans() | st.integers(-INT_LIMIT, INT_LIMIT) | st.text(st.characters(exclude_categories=["Cs"])) | st.binary()
values = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4).map(tuple), max_leaves=8)


def _depth(value: Value) -> int:
    return 1 + max(map(_depth, value), default=0) if isinstance(value, tuple) else 0


@given(values)
def test_round_trip_keeps_value_and_exact_types(value: Value) -> None:
    """What is encoded comes back with the same types (True is not 1); tuples nested deeper than two are refused."""
    if _depth(value) > 2:
        with pytest.raises(InvalidTransaction, match="nested"):
            encode_value(value)
        return
    back = decode_value(encode_value(value))
    assert repr(back) == repr(value)


@given(scalars)
def test_bytes_are_those_of_the_msgpack_package(value: Value) -> None:
    """An independent encoder gives the same bytes for every 64-bit scalar."""
    if isinstance(value, int) and not -(1 << 63) <= value < 1 << 64:
        return
    assert encode_value(value) == msgpack.packb(value, use_bin_type=True)


@given(st.binary(max_size=64))
def test_arbitrary_bytes_decode_canonically_or_are_refused(data: bytes) -> None:
    """Whatever decodes encodes to the same bytes."""
    try:
        value = decode_value(data)
    except InvalidTransaction:
        return
    assert encode_value(value) == data


@pytest.mark.parametrize(
    "data",
    [
        msgpack.packb(1.5),
        msgpack.packb({1: 2}),
        msgpack.packb(msgpack.ExtType(4, b"x")),
        msgpack.packb(msgpack.Timestamp(1)),
        msgpack.packb([]),
        msgpack.packb([2, 5]),
        msgpack.packb([0, b"\x05"]),
        msgpack.packb([0, b"\x00" + b"\xff" * 40]),
        msgpack.packb([1, [1, [1, [1]]]]),
        b"\xcd\x00\x05",
        b"\xd9\x01a",
        b"\x91" * 5_000 + b"\xc0",
        b"\xc0\xc0",
        b"",
    ],
)
def test_hostile_encodings_are_refused(data: bytes) -> None:
    """Floats, maps, extensions, unknown kinds, long forms, small integers in large form, deep nesting and trailing bytes."""
    with pytest.raises(InvalidTransaction):
        decode_value(data)


@pytest.mark.parametrize("value", [1.5, {1: 2}, {1}, object(), INT_LIMIT + 1, -INT_LIMIT - 1, "\udfff"])
def test_what_is_no_value_is_refused(value: object) -> None:
    """Floats, dicts, sets, objects, large integers and lone surrogates have no encoding."""
    with pytest.raises(InvalidTransaction):
        encode_value(value)  # type: ignore[arg-type]


@given(st.integers(-INT_LIMIT, INT_LIMIT))
def test_integer_bytes_are_minimal(number: int) -> None:
    """The bytes give the number back and no shorter form does."""
    data = int_to_bytes(number)
    assert bytes_to_int(data) == number
    if len(data) > 1:
        assert int.from_bytes(data[1:], "big", signed=True) != number


def test_msgspec_lets_no_float_through_a_typed_field() -> None:
    """The pinned msgspec refuses a float where an int stands (it would otherwise be a second form of one value)."""
    with pytest.raises(msgspec.ValidationError):
        msgspec.msgpack.decode(msgpack.packb(1.0), type=int)
