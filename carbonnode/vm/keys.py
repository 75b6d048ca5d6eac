r"""Addresses of stored values: keys whose byte order is the order of the values they encode.

`c/<contract>\0<storage>\0<part><part>...`. Each part says its own type and where it ends:

| type  | encoding |
|-------|----------|
| bool  | `10` false, `11` true |
| int   | one byte `80` + n, then n big-endian bytes for values from 0; `80` - n, then n bytes of complement below 0; n <= 33 |
| bytes | `b0`, the bytes with `00` written as `00 ff`, then `00 01` (so that no part is the beginning of another) |
| str   | `b2`, its UTF-8 in the same way, then `00` (the order of UTF-8 is the order of code points) |
"""

from collections.abc import Sequence
from typing import Final

from carbonnode.chain.values import Scalar
from carbonnode.vm.limits import INT_LIMIT, MAX_KEY_BYTES

KeyPart = bool | int | str | bytes

_FALSE: Final = 0x10
_TRUE: Final = 0x11
_ZERO: Final = 0x80
_BYTES: Final = 0xB0
_TEXT: Final = 0xB2
_MAX_INT_BYTES: Final = 33
_END: Final = b"\0\x01"


def contract_prefix(contract: str) -> bytes:
    """The prefix of everything that a contract stores."""
    return b"c/" + contract.encode("ascii") + b"\0"


def storage_prefix(contract: str, storage: str) -> bytes:
    """The prefix of one `Map` (or the whole key of one `Var`) of a contract."""
    return contract_prefix(contract) + storage.encode("ascii") + b"\0"


def storage_key(contract: str, storage: str, parts: Sequence[KeyPart] = ()) -> bytes:
    """The full key of `storage[parts]`; of a `Var` without parts. Raises `ValueError` for a part that can't be one."""
    return storage_prefix(contract, storage) + encode_parts(parts)


def encode_parts(parts: Sequence[KeyPart]) -> bytes:
    """The parts of a key, one after another. Raises `ValueError` if one can't be a key part or all are longer than a key may be."""
    encoded = b"".join([encode_part(part) for part in parts])
    if len(encoded) > MAX_KEY_BYTES:
        raise ValueError(f"a storage key of {len(encoded)} bytes is longer than {MAX_KEY_BYTES}")
    return encoded


def encode_part(part: KeyPart) -> bytes:
    """One part. Raises `ValueError` if it can't be one."""
    kind = type(part)
    if kind is int:
        return encode_int(part)  # type: ignore[arg-type]  # mypy doesn't narrow by type()
    if kind is str:
        return encode_text(part)  # type: ignore[arg-type]
    if kind is bytes:
        return encode_bytes(part)  # type: ignore[arg-type]
    if kind is bool:
        return b"\x11" if part else b"\x10"
    raise ValueError(f"a key part can't be a {kind.__name__}: use int, str, bytes or bool")


def encode_int(number: int) -> bytes:
    """An integer within +-2^256."""
    size = (number.bit_length() + 7) >> 3
    if number >= 0:
        if size > _MAX_INT_BYTES or number > INT_LIMIT:
            raise ValueError("an integer key lies outside +-2^256")
        return (number | (_ZERO + size) << (size << 3)).to_bytes(size + 1, "big")
    if size > _MAX_INT_BYTES or number < -INT_LIMIT:
        raise ValueError("an integer key lies outside +-2^256")
    return bytes((_ZERO - size,)) + (number + (1 << (size << 3)) - 1).to_bytes(size, "big")


def encode_bytes(data: bytes) -> bytes:
    """A bytes value."""
    return b"\xb0" + data.replace(b"\0", b"\0\xff") + _END


def encode_text(text: str) -> bytes:
    """A text; `ValueError` (a `UnicodeEncodeError`) if it has no UTF-8 form."""
    return b"\xb2" + text.encode().replace(b"\0", b"\0\xff") + _END


def part_ends(key: bytes) -> list[int]:
    """Where the storage prefix of a contract's full key ends, and each of its parts: any prefix that a walk may have is the key up to one of these."""
    place = key.index(b"\0", key.index(b"\0") + 1) + 1
    ends = [place]
    while place < len(key):
        head = key[place]
        place = key.index(_END, place + 1) + 2 if head >= _BYTES else place + 1 if head <= _TRUE else place + 1 + abs(head - _ZERO)
        ends.append(place)
    return ends


def decode_parts(data: bytes) -> tuple[Scalar, ...]:
    """The parts of an encoded key, without its prefix. Raises `ValueError` for bytes that no parts encode to."""
    parts: list[Scalar] = []
    place = 0
    while place < len(data):
        part, place = decode_part(data, place)
        parts.append(part)
    return tuple(parts)


def decode_part(data: bytes, place: int) -> tuple[KeyPart, int]:
    """The part that starts at `place`, and the place behind it. Raises `ValueError` for bytes that no part encodes to."""
    head = data[place]
    if _ZERO - _MAX_INT_BYTES <= head <= _ZERO + _MAX_INT_BYTES:
        return _decode_int(data, place, head)
    if head in (_FALSE, _TRUE):
        return head == _TRUE, place + 1
    if head not in (_BYTES, _TEXT):
        raise ValueError(f"no key part starts with byte {head:#x}")
    end = place + 1
    while True:
        end = data.index(b"\0", end)
        if data[end + 1 : end + 2] != b"\xff":
            break
        end += 2
    if data[end : end + 2] != _END:
        raise ValueError("a key part doesn't end as it should")
    raw = data[place + 1 : end].replace(b"\0\xff", b"\0")
    return (raw.decode() if head == _TEXT else raw), end + 2


def _decode_int(data: bytes, place: int, head: int) -> tuple[int, int]:
    size = abs(head - _ZERO)
    end = place + 1 + size
    if end > len(data):
        raise ValueError("an integer key part is cut short")
    number = int.from_bytes(data[place + 1 : end], "big")
    if head < _ZERO:
        number = number - (1 << (size << 3)) + 1
    if encode_int(number) != data[place:end]:
        raise ValueError("an integer key part isn't in its shortest form")
    return number, end
