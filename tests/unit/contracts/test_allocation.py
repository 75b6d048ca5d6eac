"""The worked examples of the market's rules, to the last digit."""

import pytest

from carbonnode.local.chain import LocalRefusal
from carbonnode.local.market import LocalMarket
from carbonnode.local.ruleset import load

SETS = [f"cn-national-{year}" for year in (2023, 2024, 2025, 2026)]


@pytest.fixture
def national() -> LocalMarket:
    return LocalMarket(load(SETS[0]), also=[load(name) for name in SETS[1:]])


def unit(kind: str, power_mwh: int = 0, heat_gj: int = 0, load_e6: int = -1, emissions_t: int = 0, name: str = "U1") -> tuple[str, str, int, int, int, int]:
    return (name, kind, power_mwh * 1000, heat_gj * 1000, load_e6, emissions_t * 1000)


@pytest.mark.parametrize(
    ("load_e6", "expected"),
    [(500_000, 1_093_443), (640_000, 1_048_797), (649_999, 1_045_679), (650_000, 1_000_000), (1_000_000, 1_000_000), (0, 1_268_986)],
)
def test_load_factor_correction(national: LocalMarket, load_e6: int, expected: int) -> None:
    assert national.view("allocation", "load_factor", "cn-national-2024", load_e6) == expected


@pytest.mark.parametrize(("load_e6", "expected"), [(300_000, 1_281_146), (500_000, 1_000_000)])
def test_draft_load_factor_correction(national: LocalMarket, load_e6: int, expected: int) -> None:
    assert national.view("allocation", "load_factor", "cn-national-2026", load_e6) == expected


def test_draft_correction_against_an_independent_series(national: LocalMarket) -> None:
    """The same formula in fractions, the exponential summed term by term with a bound of the rest far below a millionth."""
    from fractions import Fraction

    def e_to_minus(x: Fraction) -> Fraction:
        total = term = Fraction(1)
        for n in range(1, 60):
            term *= -x / n
            total += term
        return total

    for percent in (1, 7, 13, 22, 30, 41, 49):
        first = e_to_minus(Fraction(percent * 1000, 29822))
        second = e_to_minus(Fraction(percent * 1000, 6871))
        exact = Fraction(7254, 1000) - Fraction(633, 1000) * (1 - first) - Fraction(5643, 1000) * (1 - second)
        expected = (exact * 2_000_000 + 1) // 2
        assert national.view("allocation", "load_factor", "cn-national-2025", percent * 10_000) == expected


def test_worked_station(national: LocalMarket) -> None:
    assert national.view("allocation", "entity_allowance", "cn-national-2024", unit("I", 15_545_800), 0) == 12_296_727


@pytest.mark.parametrize(
    ("year", "benchmarks", "heat"),
    [
        (2023, {"I": 7950, "II": 8090, "III": 8285, "IV": 3305}, (1038, 536)),
        (2024, {"I": 7910, "II": 8049, "III": 8244, "IV": 3288}, (1033, 533)),
        (2025, {"I": 7902, "II": 8017, "III": 8162, "IV": 3288}, (1027, 533)),
        (2026, {"I": 7894, "II": 7985, "III": 8080, "IV": 3288}, (1021, 533)),
    ],
)
def test_benchmarks_of_every_year(national: LocalMarket, year: int, benchmarks: dict[str, int], heat: tuple[int, int]) -> None:
    for kind, benchmark in benchmarks.items():
        power = national.view("allocation", "entity_allowance", f"cn-national-{year}", unit(kind, 10_000), 0)
        assert power == benchmark
        warm = national.view("allocation", "entity_allowance", f"cn-national-{year}", unit(kind, 0, 10_000), 0)
        assert warm == heat[kind == "IV"]


def test_entity_is_floored_once(national: LocalMarket) -> None:
    """0.7910 t and 0.7910 t are 1 t together; floored one by one they would be nothing."""
    both = (*unit("I", 1, name="U1"), *unit("I", 1, name="U2"))
    assert national.view("allocation", "entity_allowance", "cn-national-2024", both, 0) == 1


def test_correction_is_for_conventional_coal(national: LocalMarket) -> None:
    for kind, benchmark in (("III", 8244), ("IV", 3288)):
        assert national.view("allocation", "entity_allowance", "cn-national-2024", unit(kind, 10_000, load_e6=500_000), 0) == benchmark
    assert national.view("allocation", "entity_allowance", "cn-national-2024", unit("II", 10_000, load_e6=500_000), 0) == 8049 * 1_093_443 // 10**6


def test_gas_is_topped_up_and_nobody_falls_below_the_floor(national: LocalMarket) -> None:
    assert national.view("allocation", "entity_allowance", "cn-national-2024", unit("IV", 10_000, emissions_t=4_000), 0) == 4_000
    assert national.view("allocation", "entity_allowance", "cn-national-2024", unit("I", 10_000), 20_000 * 1000) == 16_000
    assert national.view("allocation", "entity_allowance", "cn-national-2024", unit("I", 10_000), 9_000 * 1000) == 7_910


def test_demo_rule_set_has_no_extras(local_market: LocalMarket) -> None:
    figures = local_market.view("allocation", "entity_allowance", "demo-nger", unit("IV", 10_000, 500, 300_000, 9_000), 90_000_000)
    assert figures == 5_138


def test_whole_tonnes_of_a_decimal(national: LocalMarket) -> None:
    figures = ("U1", "IV", 0, 0, -1, 1_789_700)
    assert national.view("allocation", "entity_allowance", "cn-national-2024", figures, 0) == 1_789


def test_settlement_of_the_pre_allocation(national: LocalMarket) -> None:
    assert national.view("allocation", "settle_pre", 50_000, 30_000, 70_000) == (50_000, 20_000, 0)
    assert national.view("allocation", "settle_pre", 30_000, 50_000, 0) == (0, 0, 20_000)
    assert national.view("allocation", "settle_pre", 30_000, 50_000, 5_000) == (5_000, 0, 15_000)


def test_pre_allocation_and_gap_rate(national: LocalMarket) -> None:
    assert national.view("allocation", "pre_allocation", "cn-national-2024", 1_001) == 700
    assert national.view("allocation", "pre_allocation", "cn-national-2025", 1_001) == 500
    assert national.view("allocation", "gap_rate", 30_000, 29_998) == 1  # 0.00666 %
    assert national.view("allocation", "gap_rate", 20_000, 19_999) == 1  # 0.005 % exactly: half up
    assert national.view("allocation", "gap_rate", 10_000, 12_345) == -2_345


def test_intensity_and_historical_methods(national: LocalMarket) -> None:
    assert national.view("allocation", "intensity", 1_000_000, 100_000) == 1_015_000
    assert national.view("allocation", "intensity", 1_000_000, -100_000) == 985_000
    assert national.view("allocation", "intensity", 1_000_000, 200_000) == 1_030_000
    assert national.view("allocation", "intensity", 1_000_000, -200_000) == 970_000
    assert national.view("allocation", "historical", (100, 110, 121), 950_000, 1_000_000) == 104  # 110.33 x 0.95 = 104.81


@pytest.mark.parametrize(
    ("units", "code"),
    [
        (("U1", "V", 1, 0, -1, 0), "ALLOC-CLASS"),
        (("U1", "I", -1, 0, -1, 0), "ALLOC-NEGATIVE"),
        (("U1", "I", 1, 0, 1_000_001, 0), "ALLOC-LOAD-FACTOR"),
        (("U1", "I", 1), "ALLOC-UNITS"),
    ],
)
def test_malformed_units(national: LocalMarket, units: tuple[str | int, ...], code: str) -> None:
    with pytest.raises(LocalRefusal, match=code):
        national.view("allocation", "entity_allowance", "cn-national-2024", units, 0)
    with pytest.raises(LocalRefusal, match=code):
        national.view("allocation", "check_units", units)
