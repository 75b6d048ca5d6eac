"""Values at the border: arguments that come in, results that go out. Nothing mutable passes, and nothing outside the limits."""

from collections.abc import Callable, Sequence
from typing import Any

from carbonnode.chain.values import Value
from carbonnode.vm import codes
from carbonnode.vm.failures import ContractAbort
from carbonnode.vm.gas import GasSchedule
from carbonnode.vm.limits import INT_LIMIT, MAX_RESULT_TEXT, MAX_TEXT_BYTES, MAX_VALUE_DEPTH, MAX_VALUE_ITEMS
from carbonnode.vm.program import Type

FLAT = frozenset((int, str, bytes, bool, type(None)))
"""The types of scalars: a container of these alone is flat."""
_NESTED = FLAT | {tuple, list}


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


def weight(value: Any) -> int:
    """The scalars in an argument from outside, two levels deep: what looking at it takes."""
    if type(value) is not tuple and type(value) is not list:
        return 0
    return len(value) + sum([len(item) for item in value if type(item) is tuple or type(item) is list])


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


class Border:
    """Values that one contract passes to another, or leaves as a result: immutable, two levels at most, paid for before they are looked at.

    The sizes of the scalars the VM has kept already.
    """

    def __init__(self, schedule: GasSchedule, charge: Callable[[int], None]) -> None:
        self.charge = charge
        self.per_item, self.nested = schedule.per_item, schedule.nested
        self.per_result_item, self.value_shift = schedule.per_result_item, schedule.per_value_shift

    def passed(self, value: tuple[Any, ...]) -> None:
        """Nothing, if a tuple is a value."""
        self.charge(len(value) * self.per_item)
        if not FLAT.issuperset(map(type, value)):
            self.inner(value, codes.ARGUMENTS, codes.ARGUMENTS)

    def inner(self, value: Sequence[Any], wrong: str, large: str) -> list[Any]:
        """The containers inside one, each shown to be flat. Raises `wrong` for anything else, `large` for too many items in all."""
        inside = [item for item in value if type(item) is tuple or type(item) is list]
        count = len(value) + sum(map(len, inside))
        if count > MAX_VALUE_ITEMS:
            raise ContractAbort(large)
        self.charge(len(inside) * self.nested + (count - len(value)) * self.per_item)
        if not (_NESTED.issuperset(map(type, value)) and all(FLAT.issuperset(map(type, item)) for item in inside)):
            raise ContractAbort(wrong)
        if wrong is codes.ARGUMENTS and list in map(type, inside):
            raise ContractAbort(wrong)
        return inside

    def returned(self, value: Any) -> Value:
        """A result as an immutable value: lists become tuples."""
        kind = type(value)
        if kind is not tuple and kind is not list:
            if kind not in FLAT:
                raise ContractAbort(codes.TYPE)
            return value  # type: ignore[no-any-return]  # a scalar
        self.charge(len(value) * self.per_item)
        if FLAT.issuperset(map(type, value)):
            return tuple(value)
        inside = self.inner(value, codes.TYPE, codes.LIMIT)
        if list in map(type, inside):
            self.charge(len(value) * self.per_item)
            return tuple([tuple(item) if type(item) is list else item for item in value])
        return tuple(value)

    def recorded(self, value: Value) -> None:
        """Pays for a result that a receipt holds, and bounds it."""
        if type(value) is tuple:
            texts = [item for item in value if type(item) is str or type(item) is bytes]
            count = len(value)
            for item in value:
                if type(item) is tuple:
                    texts += [part for part in item if type(part) is str or type(part) is bytes]
                    count += len(item)
            size = sum([len(text) for text in texts])
            if size > MAX_RESULT_TEXT:
                raise ContractAbort(codes.LIMIT)
            self.charge(count * self.per_result_item + (size >> self.value_shift))
        elif type(value) is str or type(value) is bytes:
            self.charge(len(value) >> self.value_shift)
