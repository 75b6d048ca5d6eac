"""Exact fixed-point arithmetic with named rounding. Integers only: no float comes near money or tonnes.

| rounding | result |
|---|---|
| `floor` | towards minus infinity |
| `ceil` | towards plus infinity |
| `down` | towards zero |
| `up` | away from zero |
| `half_up` | to the nearest, ties away from zero |
| `half_down` | to the nearest, ties towards zero |
| `half_even` | to the nearest, ties to the even neighbour |

**Error bound** of `exp_ratio` and `pow_ratio`: the result is the correctly rounded value of the mathematical one. Both are computed inside an
interval that is proven to hold the true value; the working precision grows until the whole interval rounds to one integer. If it still holds
a rounding boundary at 2^-320 of a unit, the true value is taken to be that boundary: it always is one where the value is rational (4^(1/2),
1.015^2), and for others the boundary is then nearer than 2^-320, where no ledger can tell.
"""

from collections.abc import Callable
from typing import Final

MAX_EXPONENT: Final = 400
"""|x| of e^x: e^400 is beyond 2^256 for every scale."""
MAX_RESULT_BITS: Final = 257
_STEPS: Final = (96, 192, 384)
"""Working precisions, in bits behind the binary point of the scaled result."""


class FixedPointError(ValueError):
    """Arguments outside the domain: a division by zero, an unknown rounding, a base that isn't positive, a result beyond +-2^256."""


def muldiv(a: int, b: int, c: int, rounding: str) -> int:
    """Computes a * b / c, rounded once by name; the product isn't cut. Raises `ZeroDivisionError`, `FixedPointError` for an unknown rounding."""
    return divide(a * b, c, rounding)


def divide(number: int, divisor: int, rounding: str) -> int:
    """Divides, rounding by name."""
    if divisor < 0:
        number, divisor = -number, -divisor
    quotient, rest = divmod(number, divisor)
    if rounding == "floor":
        return quotient
    if rounding not in _ROUND_UP:
        raise FixedPointError(f"there is no rounding {rounding!r}: {', '.join(_ROUND_UP)}")
    if rest and _ROUND_UP[rounding](quotient, 2 * rest - divisor):
        return quotient + 1
    return quotient


_ROUND_UP: Final[dict[str, Callable[[int, int], bool]]] = {
    "floor": lambda _quotient, _half: False,
    "ceil": lambda _quotient, _half: True,
    "down": lambda quotient, _half: quotient < 0,
    "up": lambda quotient, _half: quotient >= 0,
    "half_up": lambda quotient, half: half > 0 or (half == 0 and quotient >= 0),
    "half_down": lambda quotient, half: half > 0 or (half == 0 and quotient < 0),
    "half_even": lambda quotient, half: half > 0 or (half == 0 and quotient % 2 == 1),
}
"""Whether to take quotient + 1, from the floor and the sign of 2 * rest - divisor, when there is a rest."""


def exp_ratio(numerator: int, denominator: int, scale: int, rounding: str) -> int:
    """Computes scale * e^(numerator / denominator), rounded by name.

    Raises `FixedPointError` for denominator or scale below 1, |exponent| above 400, or a result beyond 2^256.
    """
    if denominator < 1 or scale < 1:
        raise FixedPointError("the denominator of an exponent and the scale are at least 1")
    if abs(numerator) > MAX_EXPONENT * denominator:
        raise FixedPointError(f"an exponent of e lies within +-{MAX_EXPONENT}")
    if numerator == 0:
        return scale

    def enclose(bits: int) -> tuple[int, int]:
        low, high = _exp_interval(numerator, denominator, bits + scale.bit_length() + 8)
        return scale * low, scale * high

    return _settle(enclose, scale.bit_length() + 8, rounding)


def pow_ratio(base_num: int, base_den: int, exp_num: int, exp_den: int, scale: int, rounding: str) -> int:
    """Computes scale * (base_num / base_den) ^ (exp_num / exp_den), rounded by name.

    Raises `FixedPointError` for a base, scale or denominator below 1, a base above 2^64 or below 2^-64, or a result beyond 2^256.
    """
    if min(base_num, base_den, exp_den, scale) < 1:
        raise FixedPointError("base, denominators and scale are at least 1")
    if max(base_num, base_den).bit_length() > 64:
        raise FixedPointError("numerator and denominator of a base lie below 2^64")
    if exp_num == 0 or base_num == base_den:
        return scale

    def enclose(bits: int) -> tuple[int, int]:
        precision = bits + scale.bit_length() + 8
        inner = precision + exp_num.bit_length() + 8
        low, high = _log_interval(base_num, base_den, inner)
        low, high = sorted((low * exp_num, high * exp_num))
        if max(abs(low), abs(high)) > (MAX_EXPONENT * exp_den) << inner:
            raise FixedPointError("the power lies beyond e^400 or below e^-400")
        low_result, _ = _exp_interval(low, exp_den << inner, precision)
        _, high_result = _exp_interval(high, exp_den << inner, precision)
        return scale * low_result, scale * high_result

    return _settle(enclose, scale.bit_length() + 8, rounding)


def _settle(enclose: Callable[[int], tuple[int, int]], extra: int, rounding: str) -> int:
    """Raise the precision until both ends of the interval round to one integer."""
    for bits in _STEPS:
        low, high = enclose(bits)
        unit = 1 << (bits + extra)
        below, above = divide(low, unit, rounding), divide(high, unit, rounding)
        if above.bit_length() > MAX_RESULT_BITS:
            raise FixedPointError("the result lies beyond +-2^256")
        if below == above:
            return below
    # The interval is far narrower than half a unit and holds a boundary, a whole number of halves: take the value to be it.
    halves = divide(low + high, unit, "half_even")
    return divide(halves, 2, rounding)


def _exp_interval(numerator: int, denominator: int, bits: int) -> tuple[int, int]:
    """Integers l <= 2^bits * e^(numerator/denominator) <= h."""
    # e^x = (e^(x / 2^k))^(2^k); squaring k times doubles the relative error each time, so k + 16 guard bits more are carried.
    halvings = max(0, (abs(numerator) // denominator).bit_length() + 6)
    result_bits = max(0, (numerator * 3 // (denominator * 2)) + 2)
    work = bits + halvings + result_bits + 32
    one = 1 << work
    x = (numerator << work) // (denominator << halvings)
    total = term = one
    index = 1
    while term not in (0, -1):
        term = (term * x >> work) // index
        total += term
        index += 1
    # Each of the `index` terms is at most 2 low, the argument at most 1, the tail at most 2: 2 * index + 8 bounds them all.
    error = 2 * index + 8
    lower, upper = total - error, total + error
    for _ in range(halvings):
        lower = lower * lower >> work
        upper = (upper * upper >> work) + 1
    shift = work - bits
    return lower >> shift, (upper >> shift) + 1


def _log_interval(numerator: int, denominator: int, bits: int) -> tuple[int, int]:
    """Integers l <= 2^bits * ln(numerator/denominator) <= h."""
    work = bits + 32
    shift = numerator.bit_length() - denominator.bit_length()
    scaled_num, scaled_den = (numerator, denominator << shift) if shift >= 0 else (numerator << -shift, denominator)
    mantissa, error = _log_series(scaled_num, scaled_den, work)
    two, two_error = _log_series(2, 1, work)
    middle = mantissa + shift * two
    error += abs(shift) * two_error
    cut = work - bits
    return (middle - error) >> cut, ((middle + error) >> cut) + 1


def _log_series(numerator: int, denominator: int, work: int) -> tuple[int, int]:
    """2^work * ln(numerator/denominator) for a ratio in (1/2, 2], and a bound of its error: 2 * artanh((n-d)/(n+d))."""
    ratio = ((numerator - denominator) << work) // (numerator + denominator)
    square = ratio * ratio >> work
    power, total, index = ratio, ratio, 1
    while power not in (0, -1):
        power = power * square >> work
        index += 2
        total += power // index
    # Powers lose at most 3 units each from rounding; the tail below one unit sums to less than 2.
    return 2 * total, 4 * index + 16
