"""Guarded operators: what the rewriter puts in place of an operation whose operand types it doesn't know, or whose size matters.

Every result is an integer within +-2^256, a text or bytes value of at most 4 KiB, or a container of at most 4,096 items. Sizes are
charged before anything is copied. `bool` isn't `int` here.
"""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, Final

from carbonnode.vm import codes
from carbonnode.vm.failures import ContractAbort
from carbonnode.vm.gas import GasSchedule
from carbonnode.vm.limits import INT_BITS, INT_LIMIT, MAX_CONTAINER, MAX_DICT_INT_KEY, MAX_TEXT_BYTES

Helper = Callable[..., Any]
Charge = Callable[[int], None]
"""Takes gas off the machine's counter; raises `OutOfGas` below zero."""
_REBUILT = 4
"""Gas for each item of a dict that is rebuilt."""
_SHORT = MAX_TEXT_BYTES // 4
"""A text of so few characters is within the limit whatever they are."""
_LOW, _HIGH = -INT_LIMIT, INT_LIMIT
_SEQUENCES = frozenset((str, bytes, list, tuple))
_KEYS = frozenset((str, bytes, int))


def text_bytes(text: str | bytes) -> int:
    """The size of a text in UTF-8, or of bytes."""
    return len(text) if isinstance(text, bytes) or text.isascii() else len(text.encode())


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


def looked_up(key: Any) -> Any:
    """A key that is only looked for: an integer too large to be one isn't there."""
    if type(key) not in _KEYS:
        raise ContractAbort(codes.TYPE)
    return key


def compact(where: dict[Any, Any], charge: Charge, probe_shift: int) -> None:
    """Rebuild a dict whenever deleting has halved it: places of deleted keys are still looked through, by a loop over the dict and by a lookup.

    Where integers are among the keys, each is looked for again among those before it, and may be chosen so that this takes long.
    """
    size = len(where)
    if size & (size - 1):
        return
    charge(_REBUILT * size)
    if int in set(map(type, where)):
        charge(size * size >> probe_shift + 1)
    kept = where.copy()
    where.clear()
    where.update(kept)


class Arithmetic:
    """The operators that integers share with texts and containers."""

    def __init__(self, schedule: GasSchedule, charge: Charge) -> None:
        self.charge = charge
        self.text_shift, self.per_item = schedule.per_text_shift, schedule.per_item
        self.sized, self.repeated = schedule.sized, schedule.repeat

    def helpers(self) -> dict[str, Helper]:
        """By the names that the rewriter uses."""
        return {"_add": self.add, "_iadd": self.iadd, "_mul": self.mul}

    def add(self, a: Any, b: Any) -> Any:
        """`a + b`."""
        kind = type(a)
        if kind is not type(b):
            raise ContractAbort(codes.TYPE)
        if kind is int:
            result = a + b
            if _LOW <= result <= _HIGH:
                return result
            raise ContractAbort(codes.OVERFLOW)
        if kind is str or kind is bytes:
            size = len(a) + len(b)
            self.charge(self.sized + (size >> self.text_shift))
            if size > _SHORT:
                self.charge(size >> self.text_shift)
                if text_bytes(a) + text_bytes(b) > MAX_TEXT_BYTES:
                    raise ContractAbort(codes.LIMIT)
        elif kind is list or kind is tuple:
            if len(a) + len(b) > MAX_CONTAINER:
                raise ContractAbort(codes.LIMIT)
            self.charge(self.sized + (len(a) + len(b)) * self.per_item)
        else:
            raise ContractAbort(codes.TYPE)
        return a + b

    def iadd(self, a: Any, b: Any) -> Any:
        """`a += b`: a list grows in place, as in Python."""
        if type(a) is not list:
            return self.add(a, b)
        if type(b) is not list and type(b) is not tuple:
            raise ContractAbort(codes.TYPE)
        if len(a) + len(b) > MAX_CONTAINER:
            raise ContractAbort(codes.LIMIT)
        self.charge(self.sized + len(b) * self.per_item)
        a += b
        return a

    def mul(self, a: Any, b: Any) -> Any:
        """`a * b`."""
        if type(a) is int and type(b) is int:
            result = a * b
            if _LOW <= result <= _HIGH:
                return result
            raise ContractAbort(codes.OVERFLOW)
        return self.repeat(b, a) if type(a) is int else self.repeat(a, b)

    def repeat(self, what: Any, count: Any) -> Any:
        """A text or container, several times over."""
        kind = type(what)
        if type(count) is not int or kind not in _SEQUENCES:
            raise ContractAbort(codes.TYPE)
        count = max(count, 0)
        if not what or not count:
            self.charge(self.repeated)
            return kind()
        if kind is list or kind is tuple:
            if len(what) * count > MAX_CONTAINER:
                raise ContractAbort(codes.LIMIT)
            self.charge(self.repeated + len(what) * count * self.per_item)
        else:
            if len(what) * count > MAX_TEXT_BYTES:
                raise ContractAbort(codes.LIMIT)
            size = text_bytes(what) * count
            if size > MAX_TEXT_BYTES:
                raise ContractAbort(codes.LIMIT)
            self.charge(self.repeated + (size >> self.text_shift))
        return what * count


def _two_integers(a: Any, b: Any) -> None:
    if type(a) is not int or type(b) is not int:
        raise ContractAbort(codes.TYPE)


def sub(a: Any, b: Any) -> Any:
    """`a - b`."""
    if type(a) is not int or type(b) is not int:
        raise ContractAbort(codes.TYPE)
    result = a - b
    if _LOW <= result <= _HIGH:
        return result
    raise ContractAbort(codes.OVERFLOW)


def floordiv(a: Any, b: Any) -> Any:
    """`a // b`."""
    _two_integers(a, b)
    return a // b


def mod(a: Any, b: Any) -> Any:
    """`a % b`: never formatting."""
    _two_integers(a, b)
    return a % b


def power(a: Any, b: Any) -> Any:
    """`a ** b`, refused before it is computed if it can't lie within the limits."""
    _two_integers(a, b)
    if b < 0:
        raise ContractAbort(codes.VALUE)
    if -1 <= a <= 1:
        return a ** (b & 1) if a < 0 else a ** min(b, 1)
    if (a.bit_length() - 1) * b > INT_BITS:
        raise ContractAbort(codes.OVERFLOW)
    return checked_int(a**b)


def lshift(a: Any, b: Any) -> Any:
    """`a << b`, refused before it is computed if it can't lie within the limits."""
    _two_integers(a, b)
    if b < 0:
        raise ContractAbort(codes.VALUE)
    if a == 0:
        return 0
    if a.bit_length() + b > INT_BITS + 1:
        raise ContractAbort(codes.OVERFLOW)
    return checked_int(a << b)


def rshift(a: Any, b: Any) -> Any:
    """`a >> b`."""
    _two_integers(a, b)
    if b < 0:
        raise ContractAbort(codes.VALUE)
    return a >> min(b, INT_BITS + 1)


def _two_of_a_kind(a: Any, b: Any) -> None:
    kind = type(a)
    if kind is not type(b) or (kind is not int and kind is not bool):
        raise ContractAbort(codes.TYPE)


def bit_and(a: Any, b: Any) -> Any:
    """`a & b` of integers or bools."""
    _two_of_a_kind(a, b)
    return a & b


def bit_or(a: Any, b: Any) -> Any:
    """`a | b` of integers or bools."""
    _two_of_a_kind(a, b)
    return a | b if type(a) is bool else checked_int(a | b)


def bit_xor(a: Any, b: Any) -> Any:
    """`a ^ b` of integers or bools."""
    _two_of_a_kind(a, b)
    return a ^ b if type(a) is bool else checked_int(a ^ b)


def neg(a: Any) -> Any:
    """`-a`."""
    if type(a) is not int:
        raise ContractAbort(codes.TYPE)
    return -a


def pos(a: Any) -> Any:
    """`+a`."""
    if type(a) is not int:
        raise ContractAbort(codes.TYPE)
    return a


def invert(a: Any) -> Any:
    """`~a`."""
    if type(a) is not int:
        raise ContractAbort(codes.TYPE)
    return checked_int(~a)


INTEGER_OPERATORS: Final[Mapping[str, Helper]] = MappingProxyType(
    {
        "_chk": checked_int,
        "_key": checked_key,
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
)
"""Operators for integers (and bools): their cost is static."""
