"""Guarded comparisons and subscripts. Only scalars of one type and flat tuples are compared: anything else could take exponential time."""

from typing import Any

from carbonnode.vm import codes
from carbonnode.vm.failures import ContractAbort
from carbonnode.vm.gas import GasSchedule
from carbonnode.vm.limits import MAX_CONTAINER
from carbonnode.vm.operators import Charge, Helper, checked_key, compact, looked_up
from carbonnode.vm.values import FLAT

_TEXTLESS, _ORDERED = FLAT - {str}, FLAT - {type(None)}
LONG_TEXT = 256
"""A text from so many characters on is paid for when it is tested for equality: in memory a character may take four bytes."""
_EQUAL_SHIFT = 8


def is_flat(items: Any) -> bool:
    """Whether a tuple holds scalars and None only."""
    return FLAT.issuperset(map(type, items))


def _common_types(a: Any, b: Any) -> list[type] | None:
    """The types in two flat tuples, if they are the same in the same places. Raises for tuples that aren't flat."""
    left, right = list(map(type, a)), list(map(type, b))
    same = left == right
    if not (FLAT.issuperset(left) and (same or FLAT.issuperset(right))):
        raise ContractAbort(codes.TYPE)
    return left if same else None


def search_cost(text: str | bytes, pattern: str | bytes) -> int:
    """Steps that looking for a pattern may take: as if it were compared to its end at every place, two characters a step.

    CPython does so for texts below 2,500 characters, for patterns below 100, and for the last 2,000 places of any text that isn't much longer than
    the pattern; a price that knew these numbers would be wrong with its next version.
    """
    places = len(text) - len(pattern) + 1
    return len(text) + len(pattern) + places * (len(pattern) - 1) // 2 if places > 0 and pattern else len(text)


def is_none(value: Any) -> bool:
    """`value is None`, for a literal."""
    return value is None


class Comparisons:
    """`==`, `<` and the others, and `in`."""

    def __init__(self, schedule: GasSchedule, charge: Charge) -> None:
        self.charge = charge
        self.per_item, self.text_shift, self.memory_shift = schedule.per_item, schedule.per_text_shift, schedule.per_memory_shift
        self.probe_shift = schedule.per_probe_shift
        self.tuples, self.searched_tuple, self.choice = schedule.compared_tuple, schedule.searched_tuple, schedule.choice

    def helpers(self) -> dict[str, Helper]:
        """By the names that the rewriter uses."""
        return {
            "_eq": self.eq,
            "_ne": self.ne,
            "_lt": self.lt,
            "_le": self.le,
            "_gt": self.gt,
            "_ge": self.ge,
            "_in": self.is_in,
            "_is_none": is_none,
        }

    def charge_tuples(self, a: Any, b: Any) -> None:
        """Pay for comparing two tuples."""
        self.charge(2 * (len(a) + len(b)) * self.per_item + self.tuples)

    def eq(self, a: Any, b: Any) -> bool:
        """`a == b`."""
        kind = type(a)
        if kind is not type(b):
            raise ContractAbort(codes.TYPE)
        if kind is str:
            if len(a) >= LONG_TEXT and len(a) == len(b):
                self.charge(len(a) >> _EQUAL_SHIFT)
            return bool(a == b)
        if kind is int or kind is bytes or kind is bool:
            return bool(a == b)
        if kind is not tuple:
            raise ContractAbort(codes.TYPE)
        self.charge_tuples(a, b)
        kinds = _common_types(a, b)
        if kinds is None:
            return False
        if not _TEXTLESS.issuperset(kinds):
            self.charge(sum([len(item) for item in a if type(item) is str]) >> _EQUAL_SHIFT)
        return bool(a == b)

    def ne(self, a: Any, b: Any) -> bool:
        """`a != b`."""
        return not self.eq(a, b)

    def ordered(self, a: Any, b: Any) -> None:
        """Nothing, if the two can be ordered."""
        kind = type(a)
        if kind is type(b):
            if kind is str:
                self.charge_order(a, b)
                return
            if kind is int or kind is bytes or kind is bool:
                return
            if kind is tuple:
                self.charge_tuples(a, b)
                kinds = _common_types(a, b)
                if kinds is not None and _ORDERED.issuperset(kinds):
                    if not _TEXTLESS.issuperset(kinds):
                        for one, other in zip(a, b, strict=True):
                            if type(one) is str:
                                self.charge_order(one, other)
                    return
        raise ContractAbort(codes.TYPE)

    def charge_order(self, a: str, b: str) -> None:
        """Pay for ordering two texts: CPython goes through wide ones character by character."""
        if not (a.isascii() and b.isascii()):
            self.charge(min(len(a), len(b)) >> self.text_shift)

    def lt(self, a: Any, b: Any) -> bool:
        """`a < b`."""
        if type(a) is not int or type(b) is not int:
            self.ordered(a, b)
        return bool(a < b)

    def le(self, a: Any, b: Any) -> bool:
        """`a <= b`."""
        if type(a) is not int or type(b) is not int:
            self.ordered(a, b)
        return bool(a <= b)

    def gt(self, a: Any, b: Any) -> bool:
        """`a > b`."""
        if type(a) is not int or type(b) is not int:
            self.ordered(a, b)
        return bool(a > b)

    def ge(self, a: Any, b: Any) -> bool:
        """`a >= b`."""
        if type(a) is not int or type(b) is not int:
            self.ordered(a, b)
        return bool(a >= b)

    def is_in(self, item: Any, where: Any) -> bool:
        """`item in where`: a key of a dict, an item of a list or tuple of the same type and value, or a part of a text."""
        kind = type(where)
        if kind is dict:
            if type(item) is int:
                self.charge(len(where) >> self.probe_shift)
            return looked_up(item) in where
        if kind is list or kind is tuple:
            self.charge(self.choice + len(where) * self.each(item) + (2 * len(item) * self.per_item if type(item) is tuple else 0))
            return _scan(item, where)
        if kind is not type(item) or (kind is not str and kind is not bytes):
            raise ContractAbort(codes.TYPE)
        self.charge(self.choice + (search_cost(where, item) >> self.text_shift))
        return item in where

    def each(self, item: Any) -> int:
        """What comparing this item with one of a list costs."""
        kind = type(item)
        if kind is tuple:
            return self.searched_tuple + 4 * len(item) * self.per_item
        return 2 * self.per_item + (len(item) >> self.memory_shift if kind is str or kind is bytes else 0)


def _scan(item: Any, where: Any) -> bool:
    kind = type(item)
    if kind is tuple:
        if not is_flat(item):
            raise ContractAbort(codes.TYPE)
        # What has the types of a flat tuple is flat.
        kinds = list(map(type, item))
        return any(type(other) is tuple and len(other) == len(kinds) and list(map(type, other)) == kinds and item == other for other in where)
    if kind not in FLAT:
        raise ContractAbort(codes.TYPE)
    if {kind}.issuperset(map(type, where)):
        return item in where
    return any(type(other) is kind and other == item for other in where)


class Subscripts:
    """Reading, writing and deleting items, and slices."""

    def __init__(self, schedule: GasSchedule, charge: Charge) -> None:
        self.charge = charge
        self.per_item, self.text_shift, self.probe_shift = schedule.per_item, schedule.per_text_shift, schedule.per_probe_shift

    def helpers(self) -> dict[str, Helper]:
        """By the names that the rewriter uses."""
        return {"_item": self.item_of, "_slice": self.slice_of, "_setitem": self.set_item, "_delitem": self.delete_item}

    def item_of(self, where: Any, key: Any) -> Any:
        """`where[key]`: a key that isn't a scalar could take exponential time to hash."""
        kind = type(key)
        if kind is int:
            if type(where) is dict:
                self.charge(len(where) >> self.probe_shift)
            return where[key]
        if kind is str or kind is bytes:
            return where[key]
        raise ContractAbort(codes.TYPE)

    def set_item(self, value: Any, where: Any, key: Any) -> None:
        """`where[key] = value`: the value is evaluated first, as in Python."""
        kind = type(where)
        if kind is list:
            if type(key) is not int:
                raise ContractAbort(codes.TYPE)
            where[key] = value
        elif kind is dict:
            if type(checked_key(key)) is int:
                self.charge(len(where) >> self.probe_shift)
            if len(where) >= MAX_CONTAINER and key not in where:
                raise ContractAbort(codes.LIMIT)
            where[key] = value
        else:
            raise ContractAbort(codes.TYPE)

    def slice_of(self, where: Any, low: Any, high: Any) -> Any:
        """`where[low:high]`."""
        for bound in (low, high):
            if bound is not None and type(bound) is not int:
                raise ContractAbort(codes.TYPE)
        kind = type(where)
        if kind is list or kind is tuple:
            self.charge(_span(len(where), low, high) * self.per_item)
        elif kind is str or kind is bytes:
            self.charge(_span(len(where), low, high) >> self.text_shift)
        else:
            raise ContractAbort(codes.TYPE)
        return where[low:high]

    def delete_item(self, where: Any, key: Any) -> None:
        """`del where[key]`."""
        kind = type(where)
        if kind is list and type(key) is int:
            self.charge(len(where) >> 6)
            del where[key]
        elif kind is dict:
            if type(checked_key(key)) is int:
                self.charge(len(where) >> self.probe_shift)
            del where[key]
            compact(where, self.charge, self.probe_shift)
        else:
            raise ContractAbort(codes.TYPE)


def _span(size: int, low: int | None, high: int | None) -> int:
    """The items that a slice takes."""
    first = 0 if low is None else max(low + size, 0) if low < 0 else low
    behind = size if high is None else high + size if high < 0 else min(high, size)
    return max(behind - first, 0)
