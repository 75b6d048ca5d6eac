"""Canonical MessagePack: one byte string per value, anything else is refused (design, section 4).

Structures are msgspec structs encoded as arrays. Canonical form is held by decode, re-encode, compare. Depth is bounded by the types
themselves: no field of a wire type is recursive or untyped, and size is checked before decoding.
"""

from typing import Any, TypeVar, cast

import msgspec

from carbonnode.errors import InvalidBlock

T = TypeVar("T")

MAX_BYTES = 8 * 1024 * 1024

_encoder = msgspec.msgpack.Encoder()


class Wire(msgspec.Struct, array_like=True, frozen=True, gc=False, forbid_unknown_fields=True):
    """Base of everything that is encoded: an immutable array of typed fields in the order of declaration."""


def encode(value: object) -> bytes:
    """The canonical bytes of a wire value."""
    return _encoder.encode(value)


_decoders: "dict[object, msgspec.msgpack.Decoder[Any]]" = {}


def _decoder(kind: object) -> "msgspec.msgpack.Decoder[Any]":
    # Decoders are immutable and made per type once: a table of compiled code, not state.
    if kind not in _decoders:
        _decoders[kind] = msgspec.msgpack.Decoder(cast(Any, kind))
    return _decoders[kind]


def decode(data: bytes, kind: type[T], *, max_bytes: int = MAX_BYTES) -> T:
    """Decode canonical bytes into `kind`.

    Raises `InvalidBlock` if `data` is longer than `max_bytes`, isn't of the type, or isn't the canonical encoding of its value.
    """
    if len(data) > max_bytes:
        raise InvalidBlock(f"{_name(kind)} has {len(data)} bytes, more than the {max_bytes} allowed: refused unread", code="too-large")
    try:
        value = _decoder(kind).decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidBlock(f"not a valid {_name(kind)}: {error}", code="malformed") from None
    if _encoder.encode(value) != data:
        raise InvalidBlock(f"{_name(kind)} isn't in canonical form: encode it with the shortest MessagePack forms", code="not-canonical")
    return cast(T, value)


def _name(kind: object) -> str:
    return getattr(kind, "__name__", str(kind))
