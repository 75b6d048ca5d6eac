"""Values at the border: arguments that come in, results that go out. Nothing mutable passes, and nothing outside the limits."""

from collections.abc import Callable
from typing import Any

from carbonnode.chain.values import Value
from carbonnode.vm import codes
from carbonnode.vm.failures import ContractAbort
from carbonnode.vm.limits import INT_LIMIT, MAX_TEXT_BYTES, MAX_VALUE_DEPTH, MAX_VALUE_ITEMS
from carbonnode.vm.program import Type

FLAT = frozenset((int, str, bytes, bool, type(None)))
"""The types of scalars: a container of these alone is flat."""


def check_int(value: Any) -> Any:
    """An integer within +-2^256."""
    if type(value) is int and -INT_LIMIT <= value <= INT_LIMIT:
        return value
    raise ContractAbort(codes.ARGUMENTS)


def check_text(value: Any) -> Any:
    """A text of at most 4 KiB with a UTF-8 form."""
    if type(value) is not str or len(value) > MAX_TEXT_BYTES:
        raise ContractAbort(codes.ARGUMENTS)
    if not value.isascii():
        try:
            size = len(value.encode())
        except UnicodeEncodeError:
            raise ContractAbort(codes.ARGUMENTS) from None
        if size > MAX_TEXT_BYTES:
            raise ContractAbort(codes.ARGUMENTS)
    return value


def check_bytes(value: Any) -> Any:
    """At most 4 KiB of bytes."""
    if type(value) is bytes and len(value) <= MAX_TEXT_BYTES:
        return value
    raise ContractAbort(codes.ARGUMENTS)


def check_bool(value: Any) -> Any:
    """True or False."""
    if type(value) is bool:
        return value
    raise ContractAbort(codes.ARGUMENTS)


def check_tuple_argument(value: Any) -> Any:
    """A tuple, at most two levels deep, of scalars within the limits."""
    if type(value) is not tuple:
        raise ContractAbort(codes.ARGUMENTS)
    _check_items(value, 1)
    return value


def _check_items(value: tuple[Any, ...], depth: int) -> int:
    if len(value) > MAX_VALUE_ITEMS:
        raise ContractAbort(codes.ARGUMENTS)
    count = len(value)
    for item in value:
        kind = type(item)
        if kind is int:
            check_int(item)
        elif kind is str:
            check_text(item)
        elif kind is bytes:
            check_bytes(item)
        elif kind is tuple and depth < MAX_VALUE_DEPTH:
            count += _check_items(item, depth + 1)
        elif kind is not bool and item is not None:
            raise ContractAbort(codes.ARGUMENTS)
        if count > MAX_VALUE_ITEMS:
            raise ContractAbort(codes.ARGUMENTS)
    return count


PYTHON_TYPES: dict[Type, type] = {Type.INT: int, Type.STR: str, Type.BYTES: bytes, Type.BOOL: bool, Type.TUPLE: tuple}
ARGUMENT_CHECKS: dict[Type, Callable[[Any], Any]] = {
    Type.INT: check_int,
    Type.STR: check_text,
    Type.BYTES: check_bytes,
    Type.BOOL: check_bool,
    Type.TUPLE: check_tuple_argument,
}


def weight(value: Any) -> int:
    """How many items looking at a value takes, at least: charged before it is done."""
    if type(value) is tuple or type(value) is list:
        if FLAT.issuperset(map(type, value)):
            return len(value)
        return len(value) + sum([len(item) for item in value if type(item) is tuple or type(item) is list])
    return 0


def check_shape(value: tuple[Any, ...]) -> None:
    """Nothing, if a tuple that a contract passes holds immutable values, at most two levels deep. Their sizes the VM has kept already."""
    if not FLAT.issuperset(map(type, value)):
        _check_items(value, 1)


def frozen(value: Any) -> Value:
    """A result as an immutable value: lists become tuples. Raises for dicts, for what is nested too deep, and for too many items."""
    if type(value) is tuple and FLAT.issuperset(map(type, value)):
        return value
    return _freeze(value, 0)[0]


def _freeze(value: Any, depth: int) -> tuple[Value, int]:
    kind = type(value)
    if kind is int or kind is str or kind is bytes or kind is bool or value is None:
        return value, 1
    if (kind is not tuple and kind is not list) or depth >= MAX_VALUE_DEPTH:
        raise ContractAbort(codes.TYPE)
    items, count = [], 1
    for item in value:
        inner, weighs = _freeze(item, depth + 1)
        items.append(inner)
        count += weighs
        if count > MAX_VALUE_ITEMS + 1:
            raise ContractAbort(codes.LIMIT)
    return tuple(items), count
