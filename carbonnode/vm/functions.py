"""The built-in functions that contracts call by name."""

from typing import Any

from carbonnode.chain.hashing import blake2b_256
from carbonnode.chain.signing import verify
from carbonnode.vm import codes, fixed
from carbonnode.vm.failures import ContractAbort, OutOfGas
from carbonnode.vm.gas import GasSchedule
from carbonnode.vm.limits import MAX_CODE_LENGTH, MAX_CONTAINER
from carbonnode.vm.operators import Helper, _is_flat, checked_int

_MAX_DIGITS = 79
"""Characters of an integer as text: a sign and the 78 digits of 2^256."""


def abort(code: Any) -> None:
    """End the call with a code of the contract's own."""
    if type(code) is str and 1 <= len(code) <= MAX_CODE_LENGTH and code.isascii() and code.isprintable() and not code.startswith(codes.PREFIX):
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
    digits = value[1:] if value[:1] == "-" else value
    if not (digits.isascii() and digits.isdigit()) or len(value) > _MAX_DIGITS:
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


def _kind_of(items: Any) -> None:
    """Nothing, if the items can be ordered: scalars of one type, or flat tuples of the same types."""
    if not items:
        raise ContractAbort(codes.VALUE)
    kind = type(items[0])
    for item in items:
        if type(item) is not kind:
            raise ContractAbort(codes.TYPE)
    if kind is int or kind is str or kind is bytes or kind is bool:
        return
    if kind is not tuple:
        raise ContractAbort(codes.TYPE)
    shape = [type(part) for part in items[0]]
    for item in items:
        if not _is_flat(item) or [type(part) for part in item] != shape or None in [part if part is None else 0 for part in item]:
            raise ContractAbort(codes.TYPE)


def _width(items: Any) -> int:
    """How many scalars an item of this list holds."""
    return len(items[0]) + 1 if items and type(items[0]) is tuple else 1


def make_functions(schedule: GasSchedule) -> dict[str, Helper]:
    """The built-ins, those that charge by size included."""
    gas = 0
    per_item, text_shift, per_sorted = schedule.per_item, schedule.per_text_shift, schedule.per_sorted_item

    def charge(amount: int) -> None:
        nonlocal gas
        gas -= amount
        if gas < 0:
            raise OutOfGas

    def sequence(value: Any) -> Any:
        """A list or tuple, paid for."""
        if type(value) is not list and type(value) is not tuple:
            raise ContractAbort(codes.TYPE)
        charge(len(value) * per_item)
        return value

    def smallest(*items: Any) -> Any:
        found = sequence(items[0]) if len(items) == 1 else items
        charge(len(found) * _width(found) * per_item)
        _kind_of(found)
        return min(found)

    def greatest(*items: Any) -> Any:
        found = sequence(items[0]) if len(items) == 1 else items
        charge(len(found) * _width(found) * per_item)
        _kind_of(found)
        return max(found)

    def total(items: Any) -> int:
        result = 0
        for item in sequence(items):
            if type(item) is not int:
                raise ContractAbort(codes.TYPE)
            result += item
        return checked_int(result)

    def in_order(items: Any) -> list[Any]:
        sequence(items)
        if not items:
            return []
        charge(len(items) * (per_sorted + len(items).bit_length() // 2) * _width(items))
        _kind_of(items)
        return sorted(items)

    def as_list(items: Any = ()) -> list[Any]:
        if type(items) is dict:
            charge(len(items) * per_item)
            return list(items)
        return list(sequence(items))

    def as_tuple(items: Any) -> tuple[Any, ...]:
        return tuple(sequence(items))

    def iterable(value: Any) -> Any:
        """What a loop runs over: a list and a tuple as they are, the keys of a dict as they were."""
        kind = type(value)
        if kind is list or kind is tuple:
            return value
        if kind is not dict:
            raise ContractAbort(codes.TYPE)
        charge(len(value) * per_item)
        return list(value)

    def digest(data: Any) -> bytes:
        if type(data) is not bytes:
            raise ContractAbort(codes.TYPE)
        charge(len(data) >> text_shift)
        return blake2b_256(data)

    def signature_holds(key: Any, message: Any, signature: Any) -> bool:
        if type(key) is not bytes or type(message) is not bytes or type(signature) is not bytes:
            raise ContractAbort(codes.TYPE)
        charge(len(message) >> text_shift)
        return verify(key, message, signature)

    found: dict[str, Helper] = {
        "_min": smallest,
        "_max": greatest,
        "_sum": total,
        "_sorted": in_order,
        "_list": as_list,
        "_tuple": as_tuple,
        "_iter": iterable,
        "_hash": digest,
        "_verify_signature": signature_holds,
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
    }
    found.update(_fixed_point())
    found.update(_casts())
    return found


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


def _fixed_point() -> dict[str, Helper]:
    def integers(*numbers: Any) -> None:
        for number in numbers:
            if type(number) is not int:
                raise ContractAbort(codes.TYPE)

    def muldiv(a: Any, b: Any, c: Any, rounding: Any) -> int:
        integers(a, b, c)
        return checked_int(fixed.muldiv(a, b, c, rounding))

    def fixed_exp(numerator: Any, denominator: Any, scale: Any, rounding: Any) -> int:
        integers(numerator, denominator, scale)
        return checked_int(fixed.exp_ratio(numerator, denominator, scale, rounding))

    def fixed_pow(base_num: Any, base_den: Any, exp_num: Any, exp_den: Any, scale: Any, rounding: Any) -> int:
        integers(base_num, base_den, exp_num, exp_den, scale)
        return checked_int(fixed.pow_ratio(base_num, base_den, exp_num, exp_den, scale, rounding))

    return {"_muldiv": muldiv, "_fixed_exp": fixed_exp, "_fixed_pow": fixed_pow}


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
