"""`Map` and `Var` while a contract runs: typed keys and values over the state, one set of functions per declaration.

Stored values are immutable and of exact types; what comes back is checked too, because an upgrade may have declared the same name with
another type. Reads and writes have a static cost; texts and tuples are charged by size on top.
"""

from collections.abc import Callable
from typing import Any, Final, NamedTuple

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
_ENCODE: Final[dict[Type, Callable[[Any], bytes]]] = {
    Type.INT: encode_int,
    Type.STR: encode_text,
    Type.BYTES: encode_bytes,
    Type.BOOL: lambda part: b"\x11" if part else b"\x10",
}
SMALLEST_64: Final = -(1 << 63)
LARGEST_64: Final = (1 << 64) - 1
_CACHED: Final = 4096
"""Addresses that one Map remembers: an encoding costs more than the read itself."""
_CACHED_BYTES: Final = 160


class Shape(NamedTuple):
    """What a storable tuple weighs: its scalars (and inner tuples), the size of its texts, its integers beyond 64 bits."""

    items: int
    size: int
    large: int


def check_tuple(value: tuple[Any, ...], depth: int = 1) -> Shape:
    """What a tuple weighs. Raises for anything that can't be stored."""
    items, size, large = len(value), 0, 0
    for item in value:
        kind = type(item)
        if kind is int:
            if not SMALLEST_64 <= item <= LARGEST_64:
                large += 1
        elif kind is str or kind is bytes:
            size += len(item)
        elif kind is tuple and depth < MAX_VALUE_DEPTH:
            inner = check_tuple(item, depth + 1)
            items, size, large = items + inner.items, size + inner.size, large + inner.large
            if items > MAX_VALUE_ITEMS:
                raise ContractAbort(codes.LIMIT)
        elif kind is not bool and item is not None:
            raise ContractAbort(codes.TYPE)
    if size > MAX_TEXT_BYTES:
        raise ContractAbort(codes.LIMIT)
    return Shape(items, size, large)


def stored_size(text: str | bytes) -> int:
    """The bytes of a text, taken high where it isn't ASCII: four for each character."""
    return len(text) if type(text) is bytes or text.isascii() else 4 * len(text)


class Addresses:
    """From key parts to full keys of one Map: exact types, bounded size, the recent ones remembered."""

    def __init__(self, info: StorageInfo, prefix: bytes) -> None:
        self.kinds = tuple(PYTHON_TYPES[kind] for kind in info.keys)
        self.encoders = tuple(_ENCODE[kind] for kind in info.keys)
        self.prefix = prefix
        self.limit = len(prefix) + MAX_KEY_BYTES
        self.known: dict[Any, bytes] = {}

    def remember(self, key: Any, address: bytes) -> bytes:
        """An address that was just made."""
        if len(address) > self.limit:
            raise ContractAbort(codes.LIMIT)
        if len(address) <= _CACHED_BYTES:
            if len(self.known) >= _CACHED:
                self.known.clear()
            self.known[key] = address
        return address

    def several(self, *parts: Any) -> bytes:
        """The address of a key of any number of parts."""
        if tuple(map(type, parts)) != self.kinds:
            raise ContractAbort(codes.TYPE)
        address = self.known.get(parts)
        if address is None:
            encoded = b"".join([encode(part) for encode, part in zip(self.encoders, parts, strict=True)])
            address = self.remember(parts, self.prefix + encoded)
        return address

    def function(self) -> Callable[..., bytes]:
        """The fastest function for this number of parts."""
        if len(self.kinds) == 1:
            return self._single()
        return self._double() if len(self.kinds) == 2 else self.several

    def _single(self) -> Callable[..., bytes]:
        kind, encode, known, prefix, remember = self.kinds[0], self.encoders[0], self.known, self.prefix, self.remember

        def single(part: Any) -> bytes:
            if type(part) is not kind:
                raise ContractAbort(codes.TYPE)
            address = known.get(part)
            return remember(part, prefix + encode(part)) if address is None else address

        return single

    def _double(self) -> Callable[..., bytes]:
        (first, second), (encode_first, encode_second) = self.kinds, self.encoders
        known, prefix, remember = self.known, self.prefix, self.remember

        def double(a: Any, b: Any) -> bytes:
            if type(a) is not first or type(b) is not second:
                raise ContractAbort(codes.TYPE)
            address = known.get((a, b))
            return remember((a, b), prefix + encode_first(a) + encode_second(b)) if address is None else address

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
                gas -= len(value) * per_item if is_tuple else stored_size(value) >> shift
                if gas < 0:
                    raise OutOfGas
            return value
        if value is ABSENT:
            return ABSENT
        raise ContractAbort(codes.TYPE)

    return read


def make_write(info: StorageInfo, schedule: GasSchedule) -> Helper:
    """Writing under a full key. The machine shares its `gas`, `reading` and `state_put`."""
    gas = 0
    reading = False
    state_put: Callable[[bytes, Any], None] = _unset
    kind: Any = PYTHON_TYPES[info.value]
    shift = schedule.per_value_shift
    per_item, per_large = schedule.per_value_item, schedule.per_large_integer
    is_text, is_tuple = info.value in (Type.STR, Type.BYTES), info.value is Type.TUPLE

    def write(address: bytes, value: Any) -> None:
        nonlocal gas
        if reading:
            raise ContractAbort(codes.VIEW_WRITE)
        if type(value) is not kind:
            raise ContractAbort(codes.TYPE)
        if is_tuple:
            gas -= len(value) * per_item
            if gas < 0:
                raise OutOfGas
            items, size, large = check_tuple(value)
            gas -= (items - len(value)) * per_item + large * per_large + (size >> shift)
        elif is_text:
            gas -= stored_size(value) >> shift
        if gas < 0:
            raise OutOfGas
        state_put(address, value)

    return write


def make_presence() -> tuple[Helper, Helper]:
    """Deleting and testing a full key. The machine shares its `reading`, `state_get` and `state_delete`."""
    reading = False
    state_get: Callable[[bytes], Any] = _unset
    state_delete: Callable[[bytes], None] = _unset

    def remove(address: bytes) -> None:
        if reading:
            raise ContractAbort(codes.VIEW_WRITE)
        if state_get(address) is ABSENT:
            raise ContractAbort(codes.KEY)
        state_delete(address)

    def has(address: bytes) -> bool:
        return state_get(address) is not ABSENT

    return remove, has


def make_map(info: StorageInfo, prefix: bytes, schedule: GasSchedule) -> dict[str, Helper]:
    """The operations of a Map, as the rewriter calls them."""
    address = Addresses(info, prefix).function()
    read, write = make_read(info, schedule), make_write(info, schedule)
    remove, has = make_presence()

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


def make_order(info: StorageInfo, prefix: bytes) -> dict[str, Helper]:
    """`next` and `prev` of a Map: neighbours in the order of the last key part. Shared free variables: state_next, state_prev."""
    state_next: Callable[[bytes, bytes | None], bytes | None] = _unset
    state_prev: Callable[[bytes, bytes | None], bytes | None] = _unset
    kinds = tuple(PYTHON_TYPES[kind] for kind in info.keys)
    encoders = tuple(_ENCODE[kind] for kind in info.keys)
    last, encode_last = kinds[-1], encoders[-1]

    def place(parts: tuple[Any, ...]) -> tuple[bytes, bytes | None]:
        start = prefix
        for part, kind, encode in zip(parts[:-1], kinds, encoders, strict=False):
            if type(part) is not kind:
                raise ContractAbort(codes.TYPE)
            start += encode(part)
        edge = parts[-1]
        if edge is None:
            return start, None
        if type(edge) is not last:
            raise ContractAbort(codes.TYPE)
        return start, start + encode_last(edge)

    def following(*parts: Any) -> Any:
        start, after = place(parts)
        found = state_next(start, after)
        return None if found is None else decode_part(found, len(start))[0]

    def preceding(*parts: Any) -> Any:
        start, before = place(parts)
        found = state_prev(start, before)
        return None if found is None else decode_part(found, len(start))[0]

    return {f"_next_{info.name}": following, f"_prev_{info.name}": preceding}


def _unset(*_: Any) -> Any:
    """Stands where a machine's shared cell goes."""
    raise AssertionError("storage is used before a machine linked it")
