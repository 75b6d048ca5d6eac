"""Contract values on the wire and in the state: None, bool, int (to +-2^256), str, bytes and tuples of them.

The encoding is canonical MessagePack. An integer outside 64 bits and a tuple are both arrays, told apart by their first element:
`[0, two's-complement big-endian bytes]` is an integer, `[1, item, ...]` a tuple. Tuples nest at most two deep.
"""

from typing import Any, TypeAlias, cast

import msgspec

from carbonnode.errors import InvalidTransaction

Scalar: TypeAlias = bool | int | str | bytes | None
Value: TypeAlias = Scalar | tuple[Any, ...]

INT_LIMIT = 1 << 256
MAX_TUPLE_DEPTH = 2
MAX_ITEMS = 4096
_INT64_MIN = -(1 << 63)
_UINT64_MAX = (1 << 64) - 1
_BIG_INT, _TUPLE = 0, 1

_encoder = msgspec.msgpack.Encoder()
WireValue: TypeAlias = Any
"""The form of a value inside wire structs (msgspec can't type it: text and bytes in one union); `from_wire` checks every decoded one."""

_decoder: "msgspec.msgpack.Decoder[Any]" = msgspec.msgpack.Decoder()
_SCALARS = frozenset((int, str, bytes, bool, type(None)))


def _fail(message: str) -> InvalidTransaction:
    return InvalidTransaction(message, code="bad-value")


def to_wire(value: Value, depth: int = 0) -> WireValue:
    """The msgspec form of a contract value. Raises `InvalidTransaction` (code `bad-value`) for anything that isn't one."""
    kind: type[object] = type(value)
    if kind is int:
        number = cast(int, value)
        if _INT64_MIN <= number <= _UINT64_MAX:
            return number
        return [_BIG_INT, int_to_bytes(number)]
    if kind is str or kind is bytes or kind is bool or value is None:
        return cast(Scalar, value)
    if kind is tuple or kind is list:
        items = cast("tuple[Value, ...]", value)
        if depth >= MAX_TUPLE_DEPTH:
            raise _fail("a tuple is nested more than two deep: flatten it")
        if len(items) > MAX_ITEMS:
            raise _fail(f"a tuple has {len(items)} items, more than {MAX_ITEMS}")
        return [_TUPLE, *[to_wire(item, depth + 1) for item in items]]
    raise _fail(f"a contract value can't be a {kind.__name__}: use None, bool, int, str, bytes or a tuple")


def from_wire(value: WireValue, depth: int = 0) -> Value:
    """The contract value of a decoded wire form. Raises `InvalidTransaction` if it isn't the canonical form of one."""
    kind = type(value)
    if kind in _SCALARS:
        return cast(Scalar, value)
    if kind is not list:
        raise _fail(f"a value can't be a {kind.__name__} on the wire")
    if not value or type(value[0]) is not int or len(value) > MAX_ITEMS + 1:
        raise _fail("an array in a value has no kind in front or too many items")
    if value[0] == _TUPLE and depth < MAX_TUPLE_DEPTH:
        items = value[1:]
        return tuple(items) if _SCALARS.issuperset(map(type, items)) else tuple([from_wire(item, depth + 1) for item in items])
    if value[0] == _BIG_INT and len(value) == 2 and type(value[1]) is bytes:
        number = bytes_to_int(value[1])
        if _INT64_MIN <= number <= _UINT64_MAX:
            raise _fail("an integer of 64 bits is encoded as a large one")
        return number
    raise _fail(f"an array in a value has the unknown kind {value[0]!r} or is nested too deep")


def encode_value(value: Value) -> bytes:
    """Canonical bytes of a contract value. Raises `InvalidTransaction` for anything that isn't one."""
    kind = type(value)
    try:
        if kind is tuple and len(cast("tuple[Value, ...]", value)) <= MAX_ITEMS and _SCALARS.issuperset(map(type, cast("tuple[Value, ...]", value))):
            # The common case, a flat tuple of small scalars, without a Python step for each; integers beyond 64 bits fall through.
            try:
                return _encoder.encode((_TUPLE, *cast("tuple[Value, ...]", value)))
            except OverflowError:
                return _encoder.encode(to_wire(value))
        if kind is str or kind is bytes or kind is bool or value is None:
            return _encoder.encode(value)
        return _encoder.encode(to_wire(value))
    except UnicodeEncodeError:
        raise _fail("a text holds a lone surrogate: it has no UTF-8 form") from None


def decode_value(data: bytes) -> Value:
    """The value of canonical bytes. Raises `InvalidTransaction` if they aren't canonical."""
    try:
        wire = _decoder.decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise _fail(f"not a contract value: {error}") from None
    if _encoder.encode(wire) != data:
        raise _fail("a contract value isn't in canonical form")
    return from_wire(wire)


def int_to_bytes(number: int) -> bytes:
    """Minimal two's-complement big-endian bytes of an integer within +-2^256."""
    if not -INT_LIMIT <= number <= INT_LIMIT:
        raise _fail("an integer lies outside +-2^256")
    size = (number if number >= 0 else ~number).bit_length() // 8 + 1
    return number.to_bytes(size, "big", signed=True)


def bytes_to_int(data: bytes) -> int:
    """The integer of minimal two's-complement bytes. Raises `InvalidTransaction` if they aren't minimal or too long."""
    number = int.from_bytes(data, "big", signed=True)
    if not data or len(data) != (number if number >= 0 else ~number).bit_length() // 8 + 1:
        raise _fail("an integer isn't encoded in its minimal form")
    if not -INT_LIMIT <= number <= INT_LIMIT:
        raise _fail("an integer lies outside +-2^256")
    return number
