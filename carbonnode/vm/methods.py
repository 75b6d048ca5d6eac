"""The methods of lists, dicts, texts and bytes."""

from typing import Any

from carbonnode.vm import codes
from carbonnode.vm.comparisons import search_cost
from carbonnode.vm.failures import ContractAbort
from carbonnode.vm.gas import GasSchedule
from carbonnode.vm.limits import MAX_CONTAINER, MAX_TEXT_BYTES
from carbonnode.vm.operators import Charge, Helper, checked_key, compact, looked_up, text_bytes

_WHITE = " \t\n\r\x0b\x0c"
_MAX_STRIP = 64
_TEXTS = frozenset((str,))


def _only(value: Any, kind: type) -> None:
    if type(value) is not kind:
        raise ContractAbort(codes.TYPE)


def _two_alike(a: Any, b: Any) -> None:
    """Nothing, for two texts or two bytes values."""
    kind = type(a)
    if kind is not type(b) or (kind is not str and kind is not bytes):
        raise ContractAbort(codes.TYPE)


class ContainerMethods:
    """Methods of lists and dicts."""

    def __init__(self, schedule: GasSchedule, charge: Charge) -> None:
        self.charge = charge
        self.per_item, self.per_pair, self.probe_shift = schedule.per_item, schedule.per_pair, schedule.per_probe_shift

    def helpers(self) -> dict[str, Helper]:
        """By the names that the rewriter uses."""
        names = ("get", "insert", "extend", "pop", "keys", "values", "items")
        return {"_m_append": append, **{f"_m_{name}": getattr(self, name) for name in names}}

    def get(self, where: Any, key: Any, default: Any = None) -> Any:
        """`where.get(key, default)` of a dict."""
        if type(where) is not dict:
            raise ContractAbort(codes.TYPE)
        if type(key) is int:
            self.charge(len(where) >> self.probe_shift)
        return where.get(looked_up(key), default)

    def insert(self, where: Any, index: Any, item: Any) -> None:
        """`where.insert(index, item)`."""
        _only(where, list)
        _only(index, int)
        if len(where) >= MAX_CONTAINER:
            raise ContractAbort(codes.LIMIT)
        self.charge(len(where) >> 6)
        where.insert(index, item)

    def extend(self, where: Any, items: Any) -> None:
        """`where.extend(items)`."""
        _only(where, list)
        if type(items) is not list and type(items) is not tuple:
            raise ContractAbort(codes.TYPE)
        if len(where) + len(items) > MAX_CONTAINER:
            raise ContractAbort(codes.LIMIT)
        self.charge(len(items) * self.per_item)
        where.extend(items)

    def pop(self, where: Any, *args: Any) -> Any:
        """`where.pop(...)` of a list or dict."""
        if type(where) is dict and args:
            if type(checked_key(args[0])) is int:
                self.charge(len(where) >> self.probe_shift)
            size = len(where)
            found = where.pop(*args)
            if len(where) < size:
                compact(where, self.charge, self.probe_shift)
            return found
        _only(where, list)
        if len(args) > 1:
            raise ContractAbort(codes.TYPE)
        if args:
            _only(args[0], int)
            self.charge(len(where) >> 6)
        return where.pop(*args)

    def keys(self, where: Any) -> list[Any]:
        """`where.keys()`, as a list."""
        _only(where, dict)
        self.charge(len(where) * self.per_item)
        return list(where)

    def values(self, where: Any) -> list[Any]:
        """`where.values()`, as a list."""
        _only(where, dict)
        self.charge(len(where) * self.per_item)
        return list(where.values())

    def items(self, where: Any) -> list[Any]:
        """`where.items()`, as a list of pairs."""
        _only(where, dict)
        self.charge(len(where) * self.per_pair)
        return list(where.items())


def append(where: Any, item: Any) -> None:
    """`where.append(item)`."""
    if type(where) is not list:
        raise ContractAbort(codes.TYPE)
    if len(where) >= MAX_CONTAINER:
        raise ContractAbort(codes.LIMIT)
    where.append(item)


class TextMethods:
    """Methods of texts and bytes. What depends on Unicode's tables is for ASCII only: they differ between versions of Python."""

    def __init__(self, schedule: GasSchedule, charge: Charge) -> None:
        self.charge = charge
        self.per_item, self.text_shift, self.per_piece = schedule.per_item, schedule.per_text_shift, schedule.per_piece

    def helpers(self) -> dict[str, Helper]:
        """By the names that the rewriter uses."""
        names = ("join", "split", "find", "strip", "upper", "lower", "encode", "decode", "hex")
        return {"_m_startswith": startswith, "_m_endswith": endswith, **{f"_m_{name}": getattr(self, name) for name in names}}

    def join(self, separator: Any, items: Any) -> Any:
        """`separator.join(items)`: its size is checked before anything is allocated."""
        if type(separator) is not str or (type(items) is not list and type(items) is not tuple):
            raise ContractAbort(codes.TYPE)
        self.charge(2 * len(items) * self.per_item)
        if not _TEXTS.issuperset(map(type, items)):
            raise ContractAbort(codes.TYPE)
        size = len(separator) * max(0, len(items) - 1) + sum(map(len, items))
        if size > MAX_TEXT_BYTES:
            raise ContractAbort(codes.LIMIT)
        self.charge(size >> self.text_shift)
        joined = separator.join(items)
        if text_bytes(joined) > MAX_TEXT_BYTES:
            raise ContractAbort(codes.LIMIT)
        return joined

    def split(self, text: Any, separator: Any) -> list[Any]:
        """`text.split(separator)`."""
        if type(text) is not str or type(separator) is not str:
            raise ContractAbort(codes.TYPE)
        self.charge((search_cost(text, separator) >> self.text_shift) + len(text) // (len(separator) + 1) * self.per_piece)
        found = text.split(separator)
        if len(found) > MAX_CONTAINER:
            raise ContractAbort(codes.LIMIT)
        return list(found)

    def find(self, text: Any, pattern: Any) -> int:
        """`text.find(pattern)`."""
        _two_alike(text, pattern)
        self.charge(search_cost(text, pattern) >> self.text_shift)
        return int(text.find(pattern))

    def ascii_text(self, text: Any) -> None:
        """Nothing, for an ASCII text; pays for looking at it."""
        _only(text, str)
        if not text.isascii():
            raise ContractAbort(codes.VALUE)
        self.charge(len(text) >> self.text_shift)

    def strip(self, text: Any, characters: Any = _WHITE) -> str:
        """`text.strip()`."""
        self.ascii_text(text)
        self.ascii_text(characters)
        if len(characters) > _MAX_STRIP:
            raise ContractAbort(codes.LIMIT)
        self.charge(len(text) * len(characters) >> 6)
        return str(text.strip(characters))

    def upper(self, text: Any) -> str:
        """`text.upper()`."""
        self.ascii_text(text)
        return str(text.upper())

    def lower(self, text: Any) -> str:
        """`text.lower()`."""
        self.ascii_text(text)
        return str(text.lower())

    def encode(self, text: Any) -> bytes:
        """`text.encode()`: UTF-8."""
        _only(text, str)
        self.charge(len(text) >> self.text_shift)
        return bytes(text.encode())

    def decode(self, data: Any) -> str:
        """`data.decode()`: UTF-8."""
        _only(data, bytes)
        self.charge(len(data) >> self.text_shift)
        return str(data.decode("utf-8"))

    def hex(self, data: Any) -> str:
        """`data.hex()`."""
        _only(data, bytes)
        if 2 * len(data) > MAX_TEXT_BYTES:
            raise ContractAbort(codes.LIMIT)
        self.charge(2 * len(data) >> self.text_shift)
        return str(data.hex())


def startswith(text: Any, start: Any) -> bool:
    """`text.startswith(start)`."""
    _two_alike(text, start)
    return bool(text.startswith(start))


def endswith(text: Any, end: Any) -> bool:
    """`text.endswith(end)`."""
    _two_alike(text, end)
    return bool(text.endswith(end))
