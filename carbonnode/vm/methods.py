"""The methods of lists, dicts, texts and bytes."""

from typing import Any

from carbonnode.vm import codes
from carbonnode.vm.failures import ContractAbort, OutOfGas
from carbonnode.vm.gas import GasSchedule
from carbonnode.vm.limits import MAX_CONTAINER, MAX_TEXT_BYTES
from carbonnode.vm.operators import Helper, checked_key, search_cost, text_bytes

_WHITE = " \t\n\r\x0b\x0c"
_MAX_STRIP = 64


def _only(value: Any, *kinds: type) -> None:
    if type(value) not in kinds:
        raise ContractAbort(codes.TYPE)


def make_container_methods(schedule: GasSchedule) -> dict[str, Helper]:
    """Methods of lists and dicts."""
    gas = 0
    per_item = schedule.per_item

    def charge(amount: int) -> None:
        nonlocal gas
        gas -= amount
        if gas < 0:
            raise OutOfGas

    def append(where: Any, item: Any) -> None:
        if type(where) is not list:
            raise ContractAbort(codes.TYPE)
        if len(where) >= MAX_CONTAINER:
            raise ContractAbort(codes.LIMIT)
        where.append(item)

    def insert(where: Any, index: Any, item: Any) -> None:
        _only(where, list)
        _only(index, int)
        if len(where) >= MAX_CONTAINER:
            raise ContractAbort(codes.LIMIT)
        charge(len(where) >> 6)
        where.insert(index, item)

    def extend(where: Any, items: Any) -> None:
        _only(where, list)
        _only(items, list, tuple)
        if len(where) + len(items) > MAX_CONTAINER:
            raise ContractAbort(codes.LIMIT)
        charge(len(items) * per_item)
        where.extend(items)

    def pop(where: Any, *args: Any) -> Any:
        if type(where) is dict and args:
            checked_key(args[0])
            return where.pop(*args)
        _only(where, list)
        if len(args) > 1:
            raise ContractAbort(codes.TYPE)
        if args:
            _only(args[0], int)
            charge(len(where) >> 6)
        return where.pop(*args)

    def get(where: Any, key: Any, default: Any = None) -> Any:
        if type(where) is not dict:
            raise ContractAbort(codes.TYPE)
        return where.get(checked_key(key), default)

    def keys(where: Any) -> list[Any]:
        _only(where, dict)
        charge(len(where) * per_item)
        return list(where)

    def values(where: Any) -> list[Any]:
        _only(where, dict)
        charge(len(where) * per_item)
        return list(where.values())

    def items(where: Any) -> list[Any]:
        _only(where, dict)
        charge(2 * len(where) * per_item)
        return list(where.items())

    return {
        "_m_append": append,
        "_m_insert": insert,
        "_m_extend": extend,
        "_m_pop": pop,
        "_m_get": get,
        "_m_keys": keys,
        "_m_values": values,
        "_m_items": items,
    }


def make_text_methods(schedule: GasSchedule) -> dict[str, Helper]:
    """Methods of texts and bytes. What depends on Unicode's tables is for ASCII only: they differ between versions of Python."""
    gas = 0
    per_item, text_shift = schedule.per_item, schedule.per_text_shift

    def charge(amount: int) -> None:
        nonlocal gas
        gas -= amount
        if gas < 0:
            raise OutOfGas

    def join(separator: Any, items: Any) -> Any:
        _only(separator, str)
        _only(items, list, tuple)
        charge(len(items) * per_item)
        size = text_bytes(separator) * max(0, len(items) - 1)
        for item in items:
            _only(item, str)
            size += text_bytes(item)
        if size > MAX_TEXT_BYTES:
            raise ContractAbort(codes.LIMIT)
        charge(size >> text_shift)
        return separator.join(items)

    def split(text: Any, separator: Any) -> list[Any]:
        _only(text, str)
        _only(separator, str)
        charge((search_cost(text, separator) >> text_shift) + len(text) // max(1, len(separator)) * per_item)
        found = text.split(separator)
        if len(found) > MAX_CONTAINER:
            raise ContractAbort(codes.LIMIT)
        return list(found)

    def startswith(text: Any, start: Any) -> bool:
        _only(text, str, bytes)
        _only(start, type(text))
        return bool(text.startswith(start))

    def endswith(text: Any, end: Any) -> bool:
        _only(text, str, bytes)
        _only(end, type(text))
        return bool(text.endswith(end))

    def find(text: Any, pattern: Any) -> int:
        _only(text, str, bytes)
        _only(pattern, type(text))
        charge(search_cost(text, pattern) >> text_shift)
        return int(text.find(pattern))

    def ascii_text(text: Any) -> None:
        _only(text, str)
        if not text.isascii():
            raise ContractAbort(codes.VALUE)
        charge(len(text) >> text_shift)

    def strip(text: Any, characters: Any = _WHITE) -> str:
        ascii_text(text)
        ascii_text(characters)
        if len(characters) > _MAX_STRIP:
            raise ContractAbort(codes.LIMIT)
        charge(len(text) * len(characters) >> 6)
        return str(text.strip(characters))

    def upper(text: Any) -> str:
        ascii_text(text)
        return str(text.upper())

    def lower(text: Any) -> str:
        ascii_text(text)
        return str(text.lower())

    def encode(text: Any) -> bytes:
        _only(text, str)
        charge(len(text) >> text_shift)
        return bytes(text.encode())

    def decode(data: Any) -> str:
        _only(data, bytes)
        charge(len(data) >> text_shift)
        return str(data.decode("utf-8"))

    def to_hex(data: Any) -> str:
        _only(data, bytes)
        if 2 * len(data) > MAX_TEXT_BYTES:
            raise ContractAbort(codes.LIMIT)
        charge(len(data) >> text_shift)
        return str(data.hex())

    return {
        "_m_join": join,
        "_m_split": split,
        "_m_startswith": startswith,
        "_m_endswith": endswith,
        "_m_find": find,
        "_m_strip": strip,
        "_m_upper": upper,
        "_m_lower": lower,
        "_m_encode": encode,
        "_m_decode": decode,
        "_m_hex": to_hex,
    }
