"""The plan of the market year against a small order book of our own: same trades whatever the order inside a wave."""

import random
from collections import defaultdict

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from carbonnode.devnet.year_data import DayPrice, Station, read_prices, read_stations
from carbonnode.devnet.year_plan import Order, Plan, Position, TradingDay, make_plan
from carbonnode.errors import ConfigError
from carbonnode.resources import genesis_dir

BENCHMARKS = {"I": 8797, "III": 12109, "IV": 5138}
REFERENCE_FEN = 6196

Trade = tuple[str, str, int, int]


def shipped_positions() -> list[Position]:
    def surplus(s: Station) -> int:
        return s.power_kwh // 1000 * BENCHMARKS[s.unit_class] // 10_000 - s.scope1_t

    stations = read_stations(genesis_dir() / "data" / "nger_2017_18_thermal.csv")
    return [Position(s.entity, s.organisation, surplus(s)) for s in stations if s.unit_class and s.scope1_t >= 26_000]


@pytest.fixture(scope="module")
def prices() -> tuple[DayPrice, ...]:
    return read_prices(genesis_dir() / "data" / "cea_daily_2025_11.csv")


@pytest.fixture(scope="module")
def plan(prices: tuple[DayPrice, ...]) -> Plan:
    return make_plan(shipped_positions(), prices, REFERENCE_FEN)


def run_day(day: TradingDay, rng: random.Random | None = None) -> tuple[list[Trade], list[Order]]:
    """Price, then time; orders of a wave arrive shuffled when `rng` is given. Returns trades (buyer, seller, price, tonnes) and what rests."""
    book: dict[str, list[list[object]]] = {"B": [], "S": []}
    trades: list[Trade] = []
    arrival = 0
    for wave in (*day.morning, *day.afternoon):
        orders = list(wave.orders)
        if rng is not None:
            rng.shuffle(orders)
        for order in orders:
            arrival += 1
            left = order.quantity_t
            sign = 1 if order.side == "B" else -1
            other = book["S" if order.side == "B" else "B"]
            for entry in sorted(other, key=lambda e: (sign * e[0], e[1])):  # type: ignore[operator]
                price, _, maker, rest = entry
                assert isinstance(price, int)
                assert isinstance(rest, int)
                assert isinstance(maker, Order)
                if not left or sign * price > sign * order.price_fen:
                    break
                part = min(left, rest)
                pair = (order.entity, maker.entity) if order.side == "B" else (maker.entity, order.entity)
                trades.append((*pair, price, part))
                left -= part
                entry[3] = rest - part
                if rest == part:
                    other.remove(entry)
            if left:
                book[order.side].append([order.price_fen, arrival, order, left])
    return trades, [entry[2] for side in book.values() for entry in side]  # type: ignore[misc]


def test_each_day_has_the_real_open_high_low_and_close(plan: Plan) -> None:
    assert len(plan.days) == 10
    for day in plan.days:
        trades, _ = run_day(day)
        amount, volume = sum(t[2] * t[3] for t in trades), sum(t[3] for t in trades)
        traded = [t[2] for t in trades]
        assert (traded[0], max(traded), min(traded)) == (day.price.open_fen, day.price.high_fen, day.price.low_fen)
        assert (2 * amount + volume) // (2 * volume) == day.price.close_fen == day.close_fen
        assert volume == day.volume_t


def test_only_orders_meant_to_rest_are_left_at_the_close(plan: Plan) -> None:
    for day in plan.days:
        _, rest = run_day(day)
        assert all(order.fills_t == 0 for order in rest)
        assert len(rest) == sum(o.fills_t == 0 for w in (*day.morning, *day.afternoon) for o in w.orders)


def test_trades_do_not_depend_on_the_order_inside_a_wave(plan: Plan) -> None:
    rng = random.Random(7)
    for day in plan.days:
        expected, _ = run_day(day)
        for _ in range(20):
            assert run_day(day, rng)[0] == expected


def test_everybody_but_one_ends_with_what_he_needs(plan: Plan) -> None:
    positions = {p.entity: p.surplus_t for p in shipped_positions()}
    bought: dict[str, int] = defaultdict(int)
    for day in plan.days:
        for buyer, seller, _, tonnes in run_day(day)[0]:
            bought[buyer] += tonnes
            positions[seller] -= tonnes
    short = {e: -s - bought[e] for e, s in positions.items() if s + bought[e] < 0}
    assert short == {plan.holding_out: plan.short_t}
    assert plan.short_t > 0


def test_nobody_trades_with_his_own_organisation_and_no_order_is_a_block_deal(plan: Plan) -> None:
    organisation = {p.entity: p.organisation for p in shipped_positions()}
    for day in plan.days:
        for buyer, seller, _, _ in run_day(day)[0]:
            assert organisation[buyer] != organisation[seller]
        assert all(0 < o.quantity_t < 100_000 for w in (*day.morning, *day.afternoon) for o in w.orders)


def test_every_price_lies_in_the_band_of_the_previous_close(plan: Plan) -> None:
    previous = REFERENCE_FEN
    for day in plan.days:
        for order in (o for w in (*day.morning, *day.afternoon) for o in w.orders):
            assert 90 * previous <= 100 * order.price_fen <= 110 * previous
        previous = day.close_fen


def test_cash_covers_every_purchase(plan: Plan) -> None:
    spent: dict[str, int] = defaultdict(int)
    for day in plan.days:
        for buyer, _, price, tonnes in run_day(day)[0]:
            spent[buyer] += price * tonnes
    assert all(plan.cash_fen[buyer] >= amount for buyer, amount in spent.items())


def test_the_plan_is_the_same_every_time(plan: Plan, prices: tuple[DayPrice, ...]) -> None:
    again = make_plan(shipped_positions(), prices, REFERENCE_FEN)
    assert msgspec.json.encode(again) == msgspec.json.encode(plan)


@pytest.mark.parametrize("surpluses", [[5, 7], [-5, -7], []])
def test_data_without_a_market_is_refused(surpluses: list[int], prices: tuple[DayPrice, ...]) -> None:
    positions = [Position(f"ST-{i}", f"ORG-{i}", s) for i, s in enumerate(surpluses)]
    with pytest.raises(ConfigError, match="make no market"):
        make_plan(positions, prices, REFERENCE_FEN)


@settings(max_examples=60, deadline=None)
@given(
    surpluses=st.lists(st.integers(-300_000, 300_000).filter(bool), min_size=2, max_size=20).filter(lambda xs: min(xs) < 0 < max(xs)),
    opens=st.lists(st.tuples(st.integers(5_900, 6_300), st.integers(0, 60), st.integers(0, 60), st.integers(1, 10**6)), min_size=1, max_size=4),
)
def test_any_market_is_planned_consistently(surpluses: list[int], opens: list[tuple[int, int, int, int]]) -> None:
    from datetime import date

    prices = [DayPrice(date(2025, 12, 1 + i), o, o + up, o - down, o + (up - down) // 2, v) for i, (o, up, down, v) in enumerate(opens)]
    plan = make_plan([Position(f"ST-{i}", f"ORG-{i}", s) for i, s in enumerate(surpluses)], prices, 6_100)
    rng = random.Random(1)
    previous = 6_100
    for day in plan.days:
        trades, rest = run_day(day)
        assert run_day(day, rng)[0] == trades
        assert sum(t[3] for t in trades) == day.volume_t
        assert all(o.fills_t == 0 for o in rest)
        amount = sum(t[2] * t[3] for t in trades)
        assert (2 * amount + day.volume_t) // (2 * day.volume_t) == day.close_fen
        assert all(90 * previous <= 100 * t[2] <= 110 * previous for t in trades)
        previous = day.close_fen
