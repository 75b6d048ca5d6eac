"""Fixed-point arithmetic against `decimal` and `fractions`, and the figures of the rules."""

from collections.abc import Callable
from decimal import Decimal, localcontext
from fractions import Fraction

import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from carbonnode.vm import fixed

DECIMAL = {"floor": "ROUND_FLOOR", "ceil": "ROUND_CEILING", "down": "ROUND_DOWN", "up": "ROUND_UP"}
DECIMAL |= {"half_up": "ROUND_HALF_UP", "half_down": "ROUND_HALF_DOWN", "half_even": "ROUND_HALF_EVEN"}
ROUNDINGS = st.sampled_from(sorted(DECIMAL))


def rounded(value: Decimal, rounding: str) -> int:
    return int(value.to_integral_value(DECIMAL[rounding]))


@given(st.integers(-(10**30), 10**30), st.integers(-(10**10), 10**10), st.integers(-99, 99).filter(bool), ROUNDINGS)
def test_muldiv_rounds_as_decimal_does(a: int, b: int, c: int, rounding: str) -> None:
    exact = Fraction(a * b, c)
    halves = Fraction(round(exact * 2), 2)
    with localcontext(prec=120):
        near = Decimal(exact.numerator) / Decimal(exact.denominator)
        value = Decimal(halves.numerator) / Decimal(halves.denominator) if halves == exact else near
        assert fixed.muldiv(a, b, c, rounding) == rounded(value, rounding)


@settings(max_examples=100, deadline=None)
@given(st.integers(-5000, 5000), st.integers(1, 300), st.integers(0, 24), ROUNDINGS)
def test_exponentials_are_correctly_rounded(numerator: int, denominator: int, places: int, rounding: str) -> None:
    assume(abs(numerator) < 100 * denominator)
    with localcontext(prec=140):
        value = (Decimal(numerator) / Decimal(denominator)).exp() * 10**places
        assert fixed.exp_ratio(numerator, denominator, 10**places, rounding) == rounded(value, rounding)


@settings(max_examples=100, deadline=None)
@given(st.integers(1, 10**6), st.integers(1, 10**6), st.integers(-40, 40), st.integers(1, 7), st.integers(0, 12), ROUNDINGS)
def test_powers_are_correctly_rounded(base: int, base_den: int, exp: int, exp_den: int, places: int, rounding: str) -> None:
    scale = 10**places
    with localcontext(prec=200):
        log = (Decimal(base) / Decimal(base_den)).ln() * exp / exp_den
        assume(abs(log) < 60)
        value = log.exp() * scale
        nearest = round(value * 2)
        # A power that is rational lies on a boundary exactly: decide that with integers.
        exact = Fraction(nearest, 2 * scale) ** exp_den == Fraction(base, base_den) ** exp
        value = Decimal(nearest) / 2 if exact else value
        assert fixed.pow_ratio(base, base_den, exp, exp_den, scale, rounding) == rounded(value, rounding)


@settings(max_examples=60, deadline=None)
@given(st.integers(-2000, 2000), st.integers(1, 100), st.sampled_from([64, 200, 400]))
def test_the_interval_of_an_exponential_holds_it_and_is_narrow(numerator: int, denominator: int, bits: int) -> None:
    assume(abs(numerator) < 100 * denominator)
    low, high = fixed._exp_interval(numerator, denominator, bits)
    with localcontext(prec=260):
        value = (Decimal(numerator) / Decimal(denominator)).exp() * 2**bits
        assert low <= value <= high
    assert high - low <= 4


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 2**64 - 1), st.integers(1, 2**64 - 1), st.sampled_from([64, 200, 400]))
def test_the_interval_of_a_logarithm_holds_it_and_is_narrow(numerator: int, denominator: int, bits: int) -> None:
    low, high = fixed._log_interval(numerator, denominator, bits)
    with localcontext(prec=260):
        value = (Decimal(numerator) / Decimal(denominator)).ln() * 2**bits
        assert low <= value <= high
    assert high - low <= 4


@pytest.mark.parametrize(("load_percent", "factor"), [(50, 1093443), (64, 1048797)])
def test_load_factor_of_the_plan(load_percent: int, factor: int) -> None:
    """Ff = 1.015^(16 - 20 F), half up to six places: the worked figures of the rules."""
    assert fixed.pow_ratio(1015, 1000, 1600 - 20 * load_percent, 100, 10**6, "half_up") == factor


def test_load_factor_of_the_draft() -> None:
    """7.254 - 0.633 (1 - e^(-F/29.822)) - 5.643 (1 - e^(-F/6.871)) at F = 30."""
    scale = 10**30
    first = fixed.exp_ratio(-30_000, 29_822, scale, "half_even")
    second = fixed.exp_ratio(-30_000, 6_871, scale, "half_even")
    total = 7254 * scale - 633 * (scale - first) - 5643 * (scale - second)
    assert fixed.muldiv(total, 10**6, 1000 * scale, "half_up") == 1281146


@pytest.mark.parametrize(("rounding", "plus", "minus"), [
    ("floor", 2, -3), ("ceil", 3, -2), ("down", 2, -2), ("up", 3, -3), ("half_up", 3, -3), ("half_down", 2, -2), ("half_even", 2, -2),
])
def test_ties_go_where_the_name_says(rounding: str, plus: int, minus: int) -> None:
    assert fixed.muldiv(5, 1, 2, rounding) == plus
    assert fixed.muldiv(-5, 1, 2, rounding) == minus
    assert fixed.muldiv(5, 1, -2, rounding) == minus
    assert fixed.pow_ratio(25, 4, 1, 2, 1, rounding) == plus


def test_what_lies_outside_the_domain_is_refused() -> None:
    calls: list[Callable[[], int]] = [
        lambda: fixed.exp_ratio(1, 0, 1, "floor"),
        lambda: fixed.exp_ratio(1, 1, 0, "floor"),
        lambda: fixed.exp_ratio(-401, 1, 1, "floor"),
        lambda: fixed.exp_ratio(1, 1, 1, "nearest"),
        lambda: fixed.exp_ratio(300, 1, 1, "floor"),
        lambda: fixed.pow_ratio(-1, 1, 1, 1, 1, "floor"),
        lambda: fixed.pow_ratio(2, 1, 10**9, 1, 1, "floor"),
        lambda: fixed.pow_ratio(2**65, 1, 1, 1, 1, "floor"),
    ]
    for call in calls:
        with pytest.raises(fixed.FixedPointError):
            call()
