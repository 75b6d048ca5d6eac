"""Guarded operators: what the rewriter puts in place of an operation whose operand types it doesn't know, or whose size matters.

Every result is an integer within +-2^256, a text or bytes value of at most 4 KiB, or a container of at most 4,096 items. Sizes are
charged before anything is copied. `bool` isn't `int` here.
"""

from collections.abc import Callable
from typing import Any

from carbonnode.vm import codes
from carbonnode.vm.failures import ContractAbort, OutOfGas
from carbonnode.vm.gas import GasSchedule
from carbonnode.vm.limits import INT_BITS, INT_LIMIT, MAX_CONTAINER, MAX_DICT_INT_KEY, MAX_TEXT_BYTES

Helper = Callable[..., Any]
_LOW, _HIGH = -INT_LIMIT, INT_LIMIT
_SCALARS = (int, str, bytes, bool)


def text_bytes(text: str) -> int:
    """The size of a text in UTF-8."""
    return len(text) if text.isascii() else len(text.encode())


def checked_int(number: int) -> int:
    """The integer, within the limits."""
    if _LOW <= number <= _HIGH:
        return number
    raise ContractAbort(codes.OVERFLOW)


def checked_key(key: Any) -> Any:
    """A key of a dict in memory: a text, bytes, or an integer small enough for its hash to be itself."""
    kind = type(key)
    if kind is str or kind is bytes:
        return key
    if kind is not int:
        raise ContractAbort(codes.TYPE)
    if not -MAX_DICT_INT_KEY <= key <= MAX_DICT_INT_KEY:
        raise ContractAbort(codes.LIMIT)
    return key


def make_arithmetic(schedule: GasSchedule) -> dict[str, Helper]:
    """The operators of integers, and those that texts and containers share with them."""
    gas = 0
    text_shift, per_item = schedule.per_text_shift, schedule.per_item

    def charge(amount: int) -> None:
        nonlocal gas
        gas -= amount
        if gas < 0:
            raise OutOfGas

    def joined(a: Any, b: Any, kind: type) -> Any:
        nonlocal gas
        if kind is list or kind is tuple:
            size = len(a) + len(b)
            if size > MAX_CONTAINER:
                raise ContractAbort(codes.LIMIT)
            gas -= size * per_item
        elif kind is str or kind is bytes:
            size = len(a) + len(b)
            if size > MAX_TEXT_BYTES or (kind is str and not (a.isascii() and b.isascii()) and text_bytes(a) + text_bytes(b) > MAX_TEXT_BYTES):
                raise ContractAbort(codes.LIMIT)
            gas -= size >> text_shift
        else:
            raise ContractAbort(codes.TYPE)
        if gas < 0:
            raise OutOfGas
        return a + b

    def add(a: Any, b: Any) -> Any:
        kind = type(a)
        if kind is not type(b):
            raise ContractAbort(codes.TYPE)
        if kind is int:
            result = a + b
            if _LOW <= result <= _HIGH:
                return result
            raise ContractAbort(codes.OVERFLOW)
        return joined(a, b, kind)

    def iadd(a: Any, b: Any) -> Any:
        """`a += b`: a list grows in place, as in Python."""
        if type(a) is not list:
            return add(a, b)
        if type(b) is not list and type(b) is not tuple:
            raise ContractAbort(codes.TYPE)
        if len(a) + len(b) > MAX_CONTAINER:
            raise ContractAbort(codes.LIMIT)
        charge(len(b) * per_item)
        a += b
        return a

    def mul(a: Any, b: Any) -> Any:
        if type(a) is int and type(b) is int:
            result = a * b
            if _LOW <= result <= _HIGH:
                return result
            raise ContractAbort(codes.OVERFLOW)
        if type(a) is int:
            a, b = b, a
        kind = type(a)
        if type(b) is not int or kind not in (str, bytes, list, tuple):
            raise ContractAbort(codes.TYPE)
        count = max(b, 0)
        if kind is list or kind is tuple:
            if len(a) * count > MAX_CONTAINER:
                raise ContractAbort(codes.LIMIT)
            charge(len(a) * count * per_item)
            return a * count if a else kind()
        size = text_bytes(a) if kind is str else len(a)
        if size * count > MAX_TEXT_BYTES:
            raise ContractAbort(codes.LIMIT)
        charge(size * count >> text_shift)
        return a * count if a else kind()

    found: dict[str, Helper] = {"_add": add, "_iadd": iadd, "_mul": mul, "_chk": checked_int, "_key": checked_key}
    found.update(_integer_operators())
    return found


def _integer_operators() -> dict[str, Helper]:
    """Operators for integers only; their cost is static."""

    def sub(a: Any, b: Any) -> Any:
        if type(a) is not int or type(b) is not int:
            raise ContractAbort(codes.TYPE)
        return checked_int(a - b)

    def floordiv(a: Any, b: Any) -> Any:
        if type(a) is not int or type(b) is not int:
            raise ContractAbort(codes.TYPE)
        return a // b

    def mod(a: Any, b: Any) -> Any:
        if type(a) is not int or type(b) is not int:
            raise ContractAbort(codes.TYPE)
        return a % b

    def power(a: Any, b: Any) -> Any:
        if type(a) is not int or type(b) is not int:
            raise ContractAbort(codes.TYPE)
        if b < 0:
            raise ContractAbort(codes.VALUE)
        if -1 <= a <= 1:
            return a ** (b & 1) if a < 0 else a ** min(b, 1)
        if (a.bit_length() - 1) * b > INT_BITS:
            raise ContractAbort(codes.OVERFLOW)
        return checked_int(a**b)

    def lshift(a: Any, b: Any) -> Any:
        if type(a) is not int or type(b) is not int:
            raise ContractAbort(codes.TYPE)
        if b < 0:
            raise ContractAbort(codes.VALUE)
        if a == 0:
            return 0
        if a.bit_length() + b > INT_BITS + 1:
            raise ContractAbort(codes.OVERFLOW)
        return checked_int(a << b)

    def rshift(a: Any, b: Any) -> Any:
        if type(a) is not int or type(b) is not int:
            raise ContractAbort(codes.TYPE)
        if b < 0:
            raise ContractAbort(codes.VALUE)
        return a >> min(b, INT_BITS + 1)

    def bit_and(a: Any, b: Any) -> Any:
        kind = type(a)
        if kind is not type(b) or (kind is not int and kind is not bool):
            raise ContractAbort(codes.TYPE)
        return a & b

    def bit_or(a: Any, b: Any) -> Any:
        kind = type(a)
        if kind is not type(b) or (kind is not int and kind is not bool):
            raise ContractAbort(codes.TYPE)
        return a | b if kind is bool else checked_int(a | b)

    def bit_xor(a: Any, b: Any) -> Any:
        kind = type(a)
        if kind is not type(b) or (kind is not int and kind is not bool):
            raise ContractAbort(codes.TYPE)
        return a ^ b if kind is bool else checked_int(a ^ b)

    def neg(a: Any) -> Any:
        if type(a) is not int:
            raise ContractAbort(codes.TYPE)
        return -a

    def pos(a: Any) -> Any:
        if type(a) is not int:
            raise ContractAbort(codes.TYPE)
        return a

    def invert(a: Any) -> Any:
        if type(a) is not int:
            raise ContractAbort(codes.TYPE)
        return checked_int(~a)

    return {
        "_sub": sub,
        "_floordiv": floordiv,
        "_mod": mod,
        "_pow": power,
        "_lshift": lshift,
        "_rshift": rshift,
        "_and": bit_and,
        "_or": bit_or,
        "_xor": bit_xor,
        "_neg": neg,
        "_pos": pos,
        "_invert": invert,
    }


def _same_flat(a: Any, b: Any) -> bool:
    """Whether two tuples are flat and hold the same types in the same places. Raises for tuples that aren't flat."""
    for one in (a, b):
        for item in one:
            if item is not None and type(item) not in _SCALARS:
                raise ContractAbort(codes.TYPE)
    return [type(item) for item in a] == [type(item) for item in b]


def make_comparisons(schedule: GasSchedule) -> dict[str, Helper]:
    """Comparisons between scalars of one type, or flat tuples."""
    gas = 0
    per_item, text_shift = schedule.per_item, schedule.per_text_shift

    def charge_tuples(a: Any, b: Any) -> None:
        nonlocal gas
        gas -= (len(a) + len(b)) * per_item
        if gas < 0:
            raise OutOfGas

    def eq(a: Any, b: Any) -> bool:
        kind = type(a)
        if kind is not type(b):
            raise ContractAbort(codes.TYPE)
        if kind is int or kind is str or kind is bytes or kind is bool:
            return bool(a == b)
        if kind is not tuple:
            raise ContractAbort(codes.TYPE)
        charge_tuples(a, b)
        return _same_flat(a, b) and bool(a == b)

    def ordered(a: Any, b: Any) -> None:
        """Nothing, if the two can be ordered."""
        kind = type(a)
        if kind is type(b):
            if kind is int or kind is str or kind is bytes or kind is bool:
                return
            if kind is tuple:
                charge_tuples(a, b)
                if _same_flat(a, b) and None not in [item if item is None else 0 for item in a]:
                    return
        raise ContractAbort(codes.TYPE)

    def lt(a: Any, b: Any) -> bool:
        ordered(a, b)
        return bool(a < b)

    def le(a: Any, b: Any) -> bool:
        ordered(a, b)
        return bool(a <= b)

    def gt(a: Any, b: Any) -> bool:
        ordered(a, b)
        return bool(a > b)

    def ge(a: Any, b: Any) -> bool:
        ordered(a, b)
        return bool(a >= b)

    def is_in(item: Any, where: Any) -> bool:
        nonlocal gas
        kind = type(where)
        if kind is dict:
            return checked_key(item) in where
        if kind is list or kind is tuple:
            gas -= len(where) * per_item
            if gas < 0:
                raise OutOfGas
            return _scan(item, where)
        if kind is not type(item) or (kind is not str and kind is not bytes):
            raise ContractAbort(codes.TYPE)
        gas -= search_cost(where, item) >> text_shift
        if gas < 0:
            raise OutOfGas
        return item in where

    return {
        "_eq": eq,
        "_ne": lambda a, b: not eq(a, b),
        "_lt": lt,
        "_le": le,
        "_gt": gt,
        "_ge": ge,
        "_in": is_in,
        "_is_none": lambda a: a is None,
    }


def search_cost(text: str | bytes, pattern: str | bytes) -> int:
    """Steps that looking for a pattern may take: CPython compares position by position for short ones."""
    return len(text) * (1 + min(len(pattern), 128) // 4) + len(pattern)


def _scan(item: Any, where: Any) -> bool:
    kind = type(item)
    if kind is tuple:
        return any(type(other) is tuple and _is_flat(other) and _same_flat(item, other) and item == other for other in where)
    if item is not None and kind not in _SCALARS:
        raise ContractAbort(codes.TYPE)
    return any(type(other) is kind and other == item for other in where)


def _is_flat(item: Any) -> bool:
    return all(part is None or type(part) in _SCALARS for part in item)


def make_subscripts(schedule: GasSchedule) -> dict[str, Helper]:
    """Reading, writing and deleting items, and slices."""
    gas = 0
    per_item, text_shift = schedule.per_item, schedule.per_text_shift

    def charge(amount: int) -> None:
        nonlocal gas
        gas -= amount
        if gas < 0:
            raise OutOfGas

    def item(where: Any, key: Any) -> Any:
        kind = type(key)
        if kind is int or kind is str or kind is bytes:
            return where[key]
        raise ContractAbort(codes.TYPE)

    def slice_of(where: Any, low: Any, high: Any) -> Any:
        for bound in (low, high):
            if bound is not None and type(bound) is not int:
                raise ContractAbort(codes.TYPE)
        kind = type(where)
        if kind is list or kind is tuple:
            charge(len(where) * per_item)
        elif kind is str or kind is bytes:
            charge(len(where) >> text_shift)
        else:
            raise ContractAbort(codes.TYPE)
        return where[low:high]

    def set_item(where: Any, key: Any, value: Any) -> None:
        kind = type(where)
        if kind is list:
            if type(key) is not int:
                raise ContractAbort(codes.TYPE)
            where[key] = value
        elif kind is dict:
            checked_key(key)
            if len(where) >= MAX_CONTAINER and key not in where:
                raise ContractAbort(codes.LIMIT)
            where[key] = value
        else:
            raise ContractAbort(codes.TYPE)

    def delete_item(where: Any, key: Any) -> None:
        kind = type(where)
        if kind is list and type(key) is int:
            charge(len(where) >> 6)
            del where[key]
        elif kind is dict:
            del where[checked_key(key)]
        else:
            raise ContractAbort(codes.TYPE)

    return {"_item": item, "_slice": slice_of, "_setitem": set_item, "_delitem": delete_item}
