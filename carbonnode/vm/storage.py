"""`Map` and `Var` while a contract runs: typed keys and values over the state, one set of functions per declaration.

Stored values are immutable and of exact types; what comes back is checked too, because an upgrade may have declared the same name with
another type. Reads and writes have a static cost; texts and tuples are charged by size on top.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

import msgspec

from carbonnode.vm import codes
from carbonnode.vm.failures import ContractAbort, OutOfGas
from carbonnode.vm.gas import GasSchedule
from carbonnode.vm.keys import decode_part, encode_bytes, encode_int, encode_text
from carbonnode.vm.limits import MAX_KEY_BYTES, MAX_TEXT_BYTES, MAX_VALUE_DEPTH, MAX_VALUE_ITEMS
from carbonnode.vm.operators import Helper
from carbonnode.vm.program import StorageInfo, Type
from carbonnode.vm.state import ABSENT
from carbonnode.vm.values import PYTHON_TYPES

_ZERO: Final[dict[Type, Any]] = {Type.INT: 0, Type.STR: "", Type.BYTES: b"", Type.BOOL: False, Type.TUPLE: ()}


def _within(encode: Callable[[Any], bytes]) -> Callable[[Any], bytes]:
    def encoded(part: Any) -> bytes:
        if len(part) > MAX_KEY_BYTES:
            raise ContractAbort(codes.LIMIT)
        return encode(part)

    return encoded


_ENCODE: Final[dict[Type, Callable[[Any], bytes]]] = {
    Type.INT: encode_int,
    Type.STR: _within(encode_text),
    Type.BYTES: _within(encode_bytes),
    Type.BOOL: lambda part: b"\x11" if part else b"\x10",
}
SMALLEST_64: Final = -(1 << 63)
LARGEST_64: Final = (1 << 64) - 1
_CACHED: Final = 4096
"""Addresses that one Map remembers: an encoding costs more than the read itself."""
_CACHED_BYTES: Final = 160
_SLOTS: Final = _CACHED - 1
"""Keys with integers in them are remembered by slot, one key each: their hashes can be chosen, so that a dict would look through all of them."""
MAX_ADDRESSES: Final = 65_536
"""Addresses that all Maps of a machine remember together (docs/adr/0024)."""
REPLACED_ITEMS, TESTED_ITEMS = 32, 8
"""Items of a tuple that lies there already which the price of a write, and of a test for presence, covers."""
_encoded: Final = msgspec.msgpack.Encoder().encode


class Shape(NamedTuple):
    """What a storable tuple weighs: its scalars (and inner tuples), the size of its texts as stored, its integers beyond 64 bits; its texts' characters."""

    items: int
    size: int
    large: int
    characters: int


def check_tuple(value: tuple[Any, ...], depth: int = 1) -> Shape:
    """What a tuple weighs. Raises for anything that can't be stored."""
    items, size, large, characters = len(value), 0, 0, 0
    for item in value:
        kind = type(item)
        if kind is int:
            if not SMALLEST_64 <= item <= LARGEST_64:
                large += 1
        elif kind is str or kind is bytes:
            characters += len(item)
            size += len(item) if item.isascii() or kind is bytes else 4 * len(item)
        elif kind is tuple and depth < MAX_VALUE_DEPTH:
            inner = check_tuple(item, depth + 1)
            items, size, large, characters = items + inner.items, size + inner.size, large + inner.large, characters + inner.characters
            if items > MAX_VALUE_ITEMS:
                raise ContractAbort(codes.LIMIT)
        elif kind is not bool and item is not None:
            raise ContractAbort(codes.TYPE)
    if characters > MAX_TEXT_BYTES:
        raise ContractAbort(codes.LIMIT)
    return Shape(items, size, large, characters)


def stored_size(text: str | bytes) -> int:
    """The bytes of a text, taken high where it isn't ASCII: four for each character."""
    return len(text) if type(text) is bytes or text.isascii() else 4 * len(text)


def _large_size(value: tuple[Any, ...]) -> int:
    """About the bytes of a stored tuple that the encoder can't encode for its large integers. The others are its work: every read asks."""
    shape = check_tuple(value)
    return 9 * shape.items + 34 * shape.large + shape.characters


class AddressRoom:
    """Bounds the addresses that the Maps of a machine remember together: when it is used up, all are forgotten."""

    def __init__(self, limit: int = MAX_ADDRESSES) -> None:
        self._limit = limit
        self._left = limit
        self._known: list[dict[Any, bytes]] = []

    def enter(self) -> dict[Any, bytes]:
        """What one more Map remembers."""
        known: dict[Any, bytes] = {}
        self._known.append(known)
        return known

    def take(self) -> None:
        """Room for one more address."""
        self._left -= 1
        if self._left < 0:
            for known in self._known:
                known.clear()
            self._left = self._limit - 1

    def clear(self) -> None:
        """No Map is linked any longer."""
        self._known.clear()
        self._left = self._limit


class Addresses:
    """From key parts to full keys of one Map: exact types, bounded size, the recent ones remembered."""

    def __init__(self, info: StorageInfo, prefix: bytes, room: AddressRoom) -> None:
        self.kinds = tuple(PYTHON_TYPES[kind] for kind in info.keys)
        self.encoders = tuple(_ENCODE[kind] for kind in info.keys)
        self.prefix = prefix
        self.limit = len(prefix) + MAX_KEY_BYTES
        self.room = room
        self.known: dict[Any, Any] = room.enter()

    def encoded(self, parts: tuple[Any, ...]) -> bytes:
        """The address of a key, refused as soon as it is longer than a key may be."""
        address = self.prefix
        for encode, part in zip(self.encoders, parts, strict=True):
            address += encode(part)
            if len(address) > self.limit:
                raise ContractAbort(codes.LIMIT)
        return address

    def remember(self, key: Any, address: bytes) -> bytes:
        """An address that was just made."""
        if len(address) <= _CACHED_BYTES:
            if len(self.known) >= _CACHED:
                self.known.clear()
            self.room.take()
            self.known[key] = address
        return address

    def remember_slot(self, slot: int, key: Any, address: bytes) -> bytes:
        """An address of a key with integers that was just made."""
        if len(address) <= _CACHED_BYTES:
            self.room.take()
            self.known[slot] = (key, address)
        return address

    def several(self, *parts: Any) -> bytes:
        """The address of a key of any number of parts."""
        if tuple(map(type, parts)) != self.kinds:
            raise ContractAbort(codes.TYPE)
        address = self.known.get(parts)
        return self.remember(parts, self.encoded(parts)) if address is None else address

    def slotted(self, *parts: Any) -> bytes:
        """The same for keys with integers."""
        if tuple(map(type, parts)) != self.kinds:
            raise ContractAbort(codes.TYPE)
        slot = hash(parts) & _SLOTS
        held = self.known.get(slot)
        return held[1] if held is not None and held[0] == parts else self.remember_slot(slot, parts, self.encoded(parts))

    def function(self) -> Callable[..., bytes]:
        """The fastest function for this number of parts."""
        if int in self.kinds:
            return self._integer() if len(self.kinds) == 1 else self._double_slotted() if len(self.kinds) == 2 else self.slotted
        if len(self.kinds) == 1:
            return self._single()
        return self._double() if len(self.kinds) == 2 else self.several

    def _integer(self) -> Callable[..., bytes]:
        known, prefix, remember = self.known, self.prefix, self.remember_slot

        def integer(part: Any) -> bytes:
            if type(part) is not int:
                raise ContractAbort(codes.TYPE)
            slot = part & _SLOTS
            held = known.get(slot)
            return held[1] if held is not None and held[0] == part else remember(slot, part, prefix + encode_int(part))

        return integer

    def _double_slotted(self) -> Callable[..., bytes]:
        first, second = self.kinds
        known, encoded, remember = self.known, self.encoded, self.remember_slot

        def double(a: Any, b: Any) -> bytes:
            if type(a) is not first or type(b) is not second:
                raise ContractAbort(codes.TYPE)
            key = (a, b)
            slot = hash(key) & _SLOTS
            held = known.get(slot)
            return held[1] if held is not None and held[0] == key else remember(slot, key, encoded(key))

        return double

    def _single(self) -> Callable[..., bytes]:
        kind, known, encoded, remember = self.kinds[0], self.known, self.encoded, self.remember

        def single(part: Any) -> bytes:
            if type(part) is not kind:
                raise ContractAbort(codes.TYPE)
            address = known.get(part)
            return remember(part, encoded((part,))) if address is None else address

        return single

    def _double(self) -> Callable[..., bytes]:
        first, second = self.kinds
        known, encoded, remember = self.known, self.encoded, self.remember

        def double(a: Any, b: Any) -> bytes:
            if type(a) is not first or type(b) is not second:
                raise ContractAbort(codes.TYPE)
            address = known.get((a, b))
            return remember((a, b), encoded((a, b))) if address is None else address

        return double


def make_read(info: StorageInfo, schedule: GasSchedule) -> Helper:
    """Reading under a full key: the value, or `ABSENT`. The machine shares its `gas` and `state_get`."""
    gas = 0
    state_get: Callable[[bytes], Any] = _unset
    kind: Any = PYTHON_TYPES[info.value]
    per_item, shift = schedule.per_read_item, schedule.per_value_shift
    sized, is_tuple = info.value in (Type.STR, Type.BYTES, Type.TUPLE), info.value is Type.TUPLE

    def read(address: bytes) -> Any:
        nonlocal gas
        value = state_get(address)
        if type(value) is kind:
            if sized:
                if is_tuple:
                    try:
                        size = len(_encoded(value))
                    except OverflowError:
                        size = _large_size(value)
                    items = len(value) * per_item
                    gas -= items if items > size else size  # noqa: FURB136  max() takes longer than the rest of a read
                else:
                    gas -= stored_size(value) >> shift
                if gas < 0:
                    raise OutOfGas
            return value
        if value is ABSENT:
            return ABSENT
        raise ContractAbort(codes.TYPE)

    return read


def make_write(info: StorageInfo, schedule: GasSchedule) -> Helper:
    """Writing under a full key. The machine shares its `gas`, `reading`, `state_get` and `state_put`.

    A long tuple that is replaced is paid for like a read: it is decoded, and kept until no block needs it any longer.
    """
    gas = 0
    reading = False
    state_get: Callable[[bytes], Any] = _unset
    state_put: Callable[[bytes, Any], None] = _unset
    kind: Any = PYTHON_TYPES[info.value]
    shift = schedule.per_value_shift
    per_item, per_large = schedule.per_value_item, schedule.per_large_integer
    is_text, is_tuple = info.value in (Type.STR, Type.BYTES), info.value is Type.TUPLE
    excess = _make_excess(schedule, REPLACED_ITEMS)

    def write(address: bytes, value: Any) -> None:
        nonlocal gas
        if reading:
            raise ContractAbort(codes.VIEW_WRITE)
        if type(value) is not kind:
            raise ContractAbort(codes.TYPE)
        if is_tuple:
            # The items inside are paid for before anything is looked at.
            gas -= (len(value) + sum([len(item) for item in value if type(item) is tuple])) * per_item
            if gas < 0:
                raise OutOfGas
            _, size, large, _ = check_tuple(value)
            gas -= large * per_large + (size >> shift)
            present = state_get(address)
            if type(present) is tuple:
                gas -= excess(present)
        elif is_text:
            gas -= stored_size(value) >> shift
        if gas < 0:
            raise OutOfGas
        state_put(address, value)

    return write


def _make_excess(schedule: GasSchedule, items: int) -> Callable[[tuple[Any, ...]], int]:
    """What a stored tuple that is touched, not read, costs beyond the static price, which covers `items` items."""
    per_item, covered = schedule.per_read_item, schedule.per_read_item * items

    def excess(value: tuple[Any, ...]) -> int:
        try:
            size = len(_encoded(value))
        except OverflowError:
            size = _large_size(value)
        if size <= covered and len(value) <= items:
            return 0
        return max(len(value) * per_item, size) - covered

    return excess


def make_presence(schedule: GasSchedule) -> tuple[Helper, Helper]:
    """Deleting and testing a full key. The machine shares its `gas`, `reading`, `state_get` and `state_delete`."""
    gas = 0
    reading = False
    state_get: Callable[[bytes], Any] = _unset
    state_delete: Callable[[bytes], None] = _unset
    deleted, tested = _make_excess(schedule, REPLACED_ITEMS), _make_excess(schedule, TESTED_ITEMS)

    def remove(address: bytes) -> None:
        nonlocal gas
        if reading:
            raise ContractAbort(codes.VIEW_WRITE)
        value = state_get(address)
        if value is ABSENT:
            raise ContractAbort(codes.KEY)
        if type(value) is tuple:
            gas -= deleted(value)
            if gas < 0:
                raise OutOfGas
        state_delete(address)

    def has(address: bytes) -> bool:
        nonlocal gas
        value = state_get(address)
        if value is ABSENT:
            return False
        if type(value) is tuple:
            gas -= tested(value)
            if gas < 0:
                raise OutOfGas
        return True

    return remove, has


def make_map(info: StorageInfo, prefix: bytes, schedule: GasSchedule, room: AddressRoom) -> dict[str, Helper]:
    """The operations of a Map, as the rewriter calls them."""
    address = Addresses(info, prefix, room).function()
    read, write = make_read(info, schedule), make_write(info, schedule)
    remove, has = make_presence(schedule)

    def item(*key: Any) -> Any:
        value = read(address(*key))
        if value is ABSENT:
            raise ContractAbort(codes.KEY)
        return value

    def get(default: Any, *key: Any) -> Any:
        value = read(address(*key))
        return default if value is ABSENT else value

    def put(value: Any, *key: Any) -> None:
        write(address(*key), value)

    found: dict[str, Helper] = {"item": item, "get": get, "put": put}
    if len(info.keys) == 1:
        found = _single_key(address, read, write)
    found["del"] = lambda *key: remove(address(*key))
    found["has"] = lambda *key: has(address(*key))
    return {f"_{name}_{info.name}": function for name, function in found.items()}


def _single_key(address: Callable[..., bytes], read: Helper, write: Helper) -> dict[str, Helper]:
    """The same for keys of one part, without the cost of packing arguments."""

    def item(key: Any) -> Any:
        value = read(address(key))
        if value is ABSENT:
            raise ContractAbort(codes.KEY)
        return value

    def get(default: Any, key: Any) -> Any:
        value = read(address(key))
        return default if value is ABSENT else value

    def put(value: Any, key: Any) -> None:
        write(address(key), value)

    return {"item": item, "get": get, "put": put}


def make_var(info: StorageInfo, prefix: bytes, schedule: GasSchedule) -> dict[str, Helper]:
    """The operations of a Var. One that was never set reads as the zero of its type."""
    read, write, zero = make_read(info, schedule), make_write(info, schedule), _ZERO[info.value]

    def get() -> Any:
        value = read(prefix)
        return zero if value is ABSENT else value

    def get_or(default: Any) -> Any:
        value = read(prefix)
        return default if value is ABSENT else value

    def put(value: Any) -> None:
        write(prefix, value)

    return {f"_get_{info.name}": get, f"_getor_{info.name}": get_or, f"_put_{info.name}": put}


def _joined(start: bytes, part: bytes, limit: int) -> bytes:
    if len(start) + len(part) > limit:
        raise ContractAbort(codes.LIMIT)
    return start + part


def _last_part(found: bytes, size: int, kind: type) -> Any:
    """The part of a key behind its first `size` bytes. An earlier version may have had a `Var`, or keys of other parts, under this name."""
    if len(found) > size:
        part, end = decode_part(found, size)
        if end == len(found) and type(part) is kind:
            return part
    raise ContractAbort(codes.TYPE)


def make_order(info: StorageInfo, prefix: bytes) -> dict[str, Helper]:
    """`next` and `prev` of a Map: neighbours in the order of the last key part. Shared free variables: state_next, state_prev."""
    state_next: Callable[[bytes, bytes | None], bytes | None] = _unset
    state_prev: Callable[[bytes, bytes | None], bytes | None] = _unset
    kinds = tuple(PYTHON_TYPES[kind] for kind in info.keys)
    encoders = tuple(_ENCODE[kind] for kind in info.keys)
    last, encode_last = kinds[-1], encoders[-1]
    limit = len(prefix) + MAX_KEY_BYTES

    def place(parts: tuple[Any, ...]) -> tuple[bytes, bytes | None]:
        start = prefix
        for part, kind, encode in zip(parts[:-1], kinds, encoders, strict=False):
            if type(part) is not kind:
                raise ContractAbort(codes.TYPE)
            start = _joined(start, encode(part), limit)
        edge = parts[-1]
        if edge is None:
            return start, None
        if type(edge) is not last:
            raise ContractAbort(codes.TYPE)
        return start, _joined(start, encode_last(edge), limit)

    def following(*parts: Any) -> Any:
        start, after = place(parts)
        found = state_next(start, after)
        return None if found is None else _last_part(found, len(start), last)

    def preceding(*parts: Any) -> Any:
        start, before = place(parts)
        found = state_prev(start, before)
        return None if found is None else _last_part(found, len(start), last)

    return {f"_next_{info.name}": following, f"_prev_{info.name}": preceding}


def _unset(*_: Any) -> Any:
    """Stands where a machine's shared cell goes."""
    raise AssertionError("storage is used before a machine linked it")
