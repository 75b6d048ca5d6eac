"""The trading days of the market year: the plan's orders, each signed by its owner, in the market's own sessions."""

from datetime import datetime

from carbonnode.chain.transaction import Call
from carbonnode.devnet import year_calendar as calendar
from carbonnode.devnet.year_plan import Order, Plan, Position, TradingDay, Wave, make_plan
from carbonnode.devnet.year_ports import DayFigures, Request, YearError
from carbonnode.devnet.year_steps import (
    BOOK,
    EXCHANGE,
    REFERENCE_FEN,
    RULE_SET,
    Year,
    allocate,
    assess,
    fund,
    prepare,
    report,
    surrender,
    wallet_of,
    whole,
)

DELIVER_LIMIT = 10
EXPIRE_LIMIT = 50
SURPLUS_CASH_PERCENT = 2


async def run_year(year: Year) -> Plan:
    """The whole market year. Raises `YearError` when the network answers otherwise than planned."""
    calendar.check_days(year.prices)
    await prepare(year)
    await report(year)
    threshold = whole(await year.market.view("rules", "number", RULE_SET, "coverage_t"), "coverage_t")
    covered = await allocate(year, threshold)
    surplus = {s.entity: year.allocated[s.entity] - s.scope1_t for s in covered}
    plan = make_plan([Position(s.entity, s.organisation, surplus[s.entity]) for s in covered], year.prices, REFERENCE_FEN)
    cash = {entity: fen + fen * SURPLUS_CASH_PERCENT // 100 for entity, fen in plan.cash_fen.items()}
    cash[plan.holding_out] = cash.get(plan.holding_out, 0) + plan.short_t * 10 * max(p.high_fen for p in year.prices)
    await fund(year, surplus, cash)
    for day in plan.days:
        await trade(year, day)
    await surrender(year, covered, plan.bought_t, plan.sold_t, year.prices[-1].day)
    await assess(year, covered)
    return plan


async def trade(year: Year, day: TradingDay) -> None:
    """One trading day: opening, morning, afternoon, close, delivery."""
    when = day.price.day
    orders = sum(len(w.orders) for w in (*day.morning, *day.afternoon))
    year.watcher.phase(f"trading day {when}", orders + 9)
    await year.clock(datetime.combine(when, calendar.HOURS.before_open))
    await year.one(f"open/{when}", EXCHANGE, "matching", "open_day")
    await year.clock(datetime.combine(when, calendar.HOURS.morning))
    for wave in day.morning:
        await _send(year, wave)
    await year.clock(datetime.combine(when, calendar.HOURS.afternoon))
    for wave in day.afternoon:
        await _send(year, wave)
    await year.clock(datetime.combine(when, calendar.HOURS.after_close))
    await _until_zero(year, f"expire/{when}", "matching", "expire", BOOK, EXPIRE_LIMIT)
    await year.one(f"close/{when}", EXCHANGE, "matching", "close_day")
    await _until_zero(year, f"deliver/{when}", "execution", "deliver", calendar.day_number(when), DELIVER_LIMIT)
    year.watcher.day(await figures_of(year, when.isoformat(), calendar.day_number(when)))


async def figures_of(year: Year, date: str, number: int) -> DayFigures:
    """The closed day's figures, asked from the market contract."""
    row = await year.market.view("matching", "close_of", BOOK, number)
    if not isinstance(row, tuple) or len(row) != 7:
        raise YearError(f"matching.close_of {date}: the network answered {row!r}: was the day closed?")
    return DayFigures(date, *(whole(field, f"close of {date}") for field in row))


async def _send(year: Year, wave: Wave) -> None:
    stations = {s.entity: s for s in year.stations}
    requests = []
    for order in wave.orders:
        station = stations[order.entity]
        requests.append(Request(f"order/{order.key}", wallet_of(station), (_place(order),), organisation=station.organisation))
    if requests:
        done = await year.market.execute(requests)
        if year.first_trade is None and len(done) == 1:
            # An order that was sent alone takes: with it the first trade happened.
            year.first_trade = done[0]
        year.watcher.advance(len(requests), f"{wave.orders[-1].side} {wave.orders[-1].price_fen / 100:.2f}")


def _place(order: Order) -> Call:
    return Call("matching", "place", (BOOK, order.side, order.price_fen, order.quantity_t, order.key))


async def _until_zero(year: Year, key: str, contract: str, method: str, *args: str | int) -> None:
    """Repeat a call of the exchange until it returns 0."""
    number = 0
    while await year.one(f"{key}/{number}", EXCHANGE, contract, method, *args) != 0:
        number += 1
