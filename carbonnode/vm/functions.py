"""The built-in functions that contracts call by name."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from carbonnode.chain.hashing import blake2b_256
from carbonnode.chain.signing import verify
from carbonnode.vm import codes, fixed
from carbonnode.vm.comparisons import is_flat
from carbonnode.vm.failures import ContractAbort, OutOfGas
from carbonnode.vm.gas import GasSchedule
from carbonnode.vm.limits import MAX_CODE_LENGTH, MAX_CONTAINER
from carbonnode.vm.operators import Charge, Helper, checked_int
from carbonnode.vm.words import ROUNDINGS

_INTEGERS = frozenset((int,))
_ROUNDINGS = frozenset(ROUNDINGS)
_WIDE = 5
_MAX_DIGITS = 79
"""Characters of an integer as text: a sign and the 78 digits of 2^256."""


def abort(code: Any) -> None:
    """End the call with a code of the contract's own."""
    if type(code) is str and 1 <= len(code) <= MAX_CODE_LENGTH and code.isascii() and code.isprintable() and not code.startswith(codes.PREFIXES):
        raise ContractAbort(code)
    raise ContractAbort(codes.BAD_CODE)


def require(condition: Any, code: Any) -> None:
    """Abort with a code unless the condition holds."""
    if not condition:
        abort(code)


def to_int(value: Any) -> int:
    """`int(x)` of an integer, a bool, or a text of ASCII digits with an optional minus."""
    kind = type(value)
    if kind is int:
        return int(value)
    if kind is bool:
        return 1 if value else 0
    if kind is not str:
        raise ContractAbort(codes.TYPE)
    if len(value) > _MAX_DIGITS or not value.isascii() or not (value.isdigit() or (value[:1] == "-" and value[1:].isdigit())):
        raise ContractAbort(codes.VALUE)
    return checked_int(int(value))


def to_str(value: Any) -> str:
    """`str(x)` of an integer, a text or a bool."""
    kind = type(value)
    if kind is int or kind is str or kind is bool:
        return str(value)
    raise ContractAbort(codes.TYPE)


def to_bool(value: Any) -> bool:
    """`bool(x)`: whether it is non-zero or non-empty."""
    return bool(value)


def absolute(value: Any) -> int:
    """`abs(x)` of an integer."""
    if type(value) is not int:
        raise ContractAbort(codes.TYPE)
    return abs(value)


def _check_ordered(items: Any) -> int:
    """The size of all texts, if the items (one at least) can be ordered: scalars of one type, or flat tuples of the same types."""
    kind = type(items[0])
    if not {kind}.issuperset(map(type, items)):
        raise ContractAbort(codes.TYPE)
    if kind is int or kind is bool:
        return 0
    if kind is str or kind is bytes:
        return _compared(items)
    if kind is not tuple:
        raise ContractAbort(codes.TYPE)
    shape = list(map(type, items[0]))
    if type(None) in shape or not is_flat(items[0]):
        raise ContractAbort(codes.TYPE)
    for item in items:
        if len(item) != len(shape) or list(map(type, item)) != shape:
            raise ContractAbort(codes.TYPE)
    return sum([_compared([item[place] for item in items]) for place, part in enumerate(shape) if part is str or part is bytes])


def _compared(texts: Any) -> int:
    """The size of texts or bytes that are compared. CPython compares texts of one byte a character at once, others character by character."""
    size = sum(map(len, texts))
    return size if type(texts[0]) is bytes or all(map(str.isascii, texts)) else size << _WIDE


def _width(items: Any) -> int:
    """How many scalars an item of this list holds; all are shown to be alike before they are compared."""
    return len(items[0]) + 1 if type(items[0]) is tuple else 1


class Functions:
    """The built-ins that charge by size."""

    def __init__(self, schedule: GasSchedule, charge: Charge) -> None:
        self.charge = charge
        self.per_item, self.text_shift, self.per_sorted = schedule.per_item, schedule.per_text_shift, schedule.per_sorted_item
        self.memory_shift, self.choice, self.tuples = schedule.per_memory_shift, schedule.choice, schedule.compared_tuple

    def helpers(self) -> dict[str, Helper]:
        """By the names that the rewriter uses."""
        return {
            "_min": self.smallest,
            "_max": self.greatest,
            "_sum": self.total,
            "_sorted": self.in_order,
            "_list": self.as_list,
            "_tuple": self.as_tuple,
            "_iter": self.iterable,
            "_hash": self.digest,
            "_verify_signature": self.signature_holds,
            "_pay": self.pay,
        }

    def sequence(self, value: Any) -> Any:
        """A list or tuple, paid for."""
        if type(value) is not list and type(value) is not tuple:
            raise ContractAbort(codes.TYPE)
        self.charge(len(value) * self.per_item)
        return value

    def candidates(self, items: tuple[Any, ...]) -> Any:
        """What `min` and `max` choose from: their arguments, or the items of the only one."""
        found = self.sequence(items[0]) if len(items) == 1 else items
        if not found:
            raise ContractAbort(codes.VALUE)
        width = _width(found)
        self.charge(self.choice + (2 + len(found) * (3 * width - 1)) * self.per_item + (0 if type(found[0]) is int else self.tuples * min(width, 2)))
        self.charge(_check_ordered(found) >> self.memory_shift)
        return found

    def smallest(self, *items: Any) -> Any:
        """`min(...)`."""
        return min(self.candidates(items))

    def greatest(self, *items: Any) -> Any:
        """`max(...)`."""
        return max(self.candidates(items))

    def total(self, items: Any) -> int:
        """`sum(items)` of integers."""
        self.charge(self.choice + (len(items) * self.per_item if type(items) is list or type(items) is tuple else 0))
        if not _INTEGERS.issuperset(map(type, self.sequence(items))):
            raise ContractAbort(codes.TYPE)
        return checked_int(sum(items))

    def in_order(self, items: Any) -> list[Any]:
        """`sorted(items)`."""
        self.sequence(items)
        if not items:
            return []
        steps, width = len(items).bit_length(), _width(items)
        self.charge(self.choice + len(items) * (self.per_sorted + (steps + 3) // 4) * width + (0 if type(items[0]) is int else self.tuples * min(width, 2)))
        self.charge((_check_ordered(items) >> self.memory_shift) * steps)
        return sorted(items)

    def as_list(self, items: Any = ()) -> list[Any]:
        """`list(items)`; the keys of a dict."""
        if type(items) is not list and type(items) is not tuple:
            items = self.iterable(items)
        self.charge(len(items) * self.per_item)
        return list(items)

    def as_tuple(self, items: Any) -> tuple[Any, ...]:
        """`tuple(items)`; the keys of a dict."""
        if type(items) is not list and type(items) is not tuple:
            items = self.iterable(items)
        self.charge(len(items) * self.per_item)
        return tuple(items)

    def iterable(self, value: Any) -> Any:
        """What a loop runs over: a list and a tuple as they are, the keys of a dict as they were."""
        kind = type(value)
        if kind is list or kind is tuple:
            return value
        if kind is not dict:
            raise ContractAbort(codes.TYPE)
        self.charge(len(value) * self.per_item)
        return list(value)

    def pay(self, amount: int) -> bool:
        """Take gas, and be true: the condition of a comprehension that can't bind the counter itself."""
        self.charge(amount)
        return True

    def digest(self, data: Any) -> bytes:
        """`hash(data)`: blake2b-256."""
        if type(data) is not bytes:
            raise ContractAbort(codes.TYPE)
        self.charge(len(data) >> self.text_shift)
        return blake2b_256(data)

    def signature_holds(self, key: Any, message: Any, signature: Any) -> bool:
        """`verify_signature(key, message, signature)`: Ed25519."""
        if type(key) is not bytes or type(message) is not bytes or type(signature) is not bytes:
            raise ContractAbort(codes.TYPE)
        self.charge(len(message) >> self.text_shift)
        return verify(key, message, signature)


def checked_range(*bounds: Any) -> range:
    """`range(...)` of integers."""
    for bound in bounds:
        if type(bound) is not int:
            raise ContractAbort(codes.TYPE)
    return range(*bounds)


def bounded_range(*bounds: Any) -> range:
    """The source of a comprehension that keeps every item: refused at once if the list would be too long."""
    found = checked_range(*bounds)
    if found and abs(found[-1] - found[0]) // abs(found.step) >= MAX_CONTAINER:
        raise ContractAbort(codes.LIMIT)
    return found


def made_list(items: list[Any]) -> list[Any]:
    """What a comprehension made, within the limit of a list."""
    if len(items) > MAX_CONTAINER:
        raise ContractAbort(codes.LIMIT)
    return items


def out_of_gas() -> None:
    """The counter fell below zero."""
    raise OutOfGas


def overflow() -> None:
    """An inlined guard found an integer outside the limits."""
    raise ContractAbort(codes.OVERFLOW)


def fell_off() -> None:
    """A function with a result type ended without `return`."""
    raise ContractAbort(codes.TYPE)


def _fixed_arguments(rounding: Any, *numbers: Any) -> None:
    """Nothing, for integers and the name of a rounding: hashing anything but a text could take exponential time, and showing a long one takes long."""
    if type(rounding) is not str:
        raise ContractAbort(codes.TYPE)
    if rounding not in _ROUNDINGS:
        raise ContractAbort(codes.VALUE)
    for number in numbers:
        if type(number) is not int:
            raise ContractAbort(codes.TYPE)


def muldiv(a: Any, b: Any, c: Any, rounding: Any) -> int:
    """`muldiv(a, b, c, rounding)`: a * b / c, rounded once."""
    _fixed_arguments(rounding, a, b, c)
    return checked_int(fixed.muldiv(a, b, c, rounding))


def fixed_exp(numerator: Any, denominator: Any, scale: Any, rounding: Any) -> int:
    """`fixed_exp(numerator, denominator, scale, rounding)`: scale * e^(numerator / denominator)."""
    _fixed_arguments(rounding, numerator, denominator, scale)
    return checked_int(fixed.exp_ratio(numerator, denominator, scale, rounding))


def fixed_pow(base_num: Any, base_den: Any, exp_num: Any, exp_den: Any, scale: Any, rounding: Any) -> int:
    """`fixed_pow(...)`: scale * (base_num / base_den) ^ (exp_num / exp_den)."""
    _fixed_arguments(rounding, base_num, base_den, exp_num, exp_den, scale)
    return checked_int(fixed.pow_ratio(base_num, base_den, exp_num, exp_den, scale, rounding))


def _casts() -> dict[str, Helper]:
    """Checks that a value has the type that an annotation says."""

    def cast_to(kind: type) -> Helper:
        def cast(value: Any) -> Any:
            if type(value) is kind:
                return value
            raise ContractAbort(codes.TYPE)

        return cast

    kinds: dict[str, type] = {"int": int, "str": str, "bytes": bytes, "bool": bool, "tuple": tuple, "list": list, "dict": dict, "None": type(None)}
    return {f"_as_{name}": cast_to(kind) for name, kind in kinds.items()}


FUNCTIONS: Final[Mapping[str, Helper]] = MappingProxyType(
    {
        "_len": len,
        "_native_range": range,
        "_native_enumerate": enumerate,
        "_native_str": str,
        "_native_abs": abs,
        "_native_min": min,
        "_native_max": max,
        "_abs": absolute,
        "_int": to_int,
        "_str": to_str,
        "_bool": to_bool,
        "_abort": abort,
        "_require": require,
        "_range": checked_range,
        "_bounded_range": bounded_range,
        "_made": made_list,
        "_oog": out_of_gas,
        "_overflow": overflow,
        "_fell_off": fell_off,
        "_muldiv": muldiv,
        "_fixed_exp": fixed_exp,
        "_fixed_pow": fixed_pow,
        **_casts(),
    }
)
"""Built-ins whose cost is static. Those named `native` stand where the rewriter has shown the types."""
