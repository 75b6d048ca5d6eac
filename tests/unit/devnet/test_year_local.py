"""The whole market year on a chain in memory: the figures, that they don't depend on block order, that money and units never leak."""

import asyncio
import typing
from collections.abc import Callable

import pytest

from carbonnode.devnet.year_calendar import check_days
from carbonnode.devnet.year_data import DayPrice, Station, read_prices, read_stations
from carbonnode.devnet.year_ports import GAS_A_CALL, DayFigures, Silent, YearError
from carbonnode.devnet.year_steps import Year
from carbonnode.devnet.year_summary import outcome, outcome_digest, summarize
from carbonnode.devnet.year_trading import run_year
from carbonnode.errors import ConfigError
from carbonnode.resources import genesis_dir

if typing.TYPE_CHECKING:
    from tests.unit.devnet.conftest import LocalMarket

Summary = dict[str, typing.Any]
MakeMarket = Callable[[int | None], "LocalMarket"]


class Notes(Silent):
    """Remembers the days."""

    def __init__(self) -> None:
        self.days: list[DayFigures] = []

    def day(self, figures: DayFigures) -> None:
        self.days.append(figures)


@pytest.fixture(scope="module")
def stations() -> tuple[Station, ...]:
    return read_stations(genesis_dir() / "data" / "nger_2017_18_thermal.csv")


@pytest.fixture(scope="module")
def prices() -> tuple[DayPrice, ...]:
    return read_prices(genesis_dir() / "data" / "cea_daily_2025_11.csv")


def play(market: "LocalMarket", stations: tuple[Station, ...], prices: tuple[DayPrice, ...]) -> tuple[Summary, Notes]:
    async def session() -> tuple[Summary, Notes]:
        notes = Notes()
        await run_year(Year(market, notes, stations, prices))
        return await summarize(market, stations, [p.day for p in prices]), notes

    return asyncio.run(session())


@pytest.fixture(scope="module")
def market(local_market: MakeMarket) -> "LocalMarket":
    return local_market(None)


@pytest.fixture(scope="module")
def played(market: "LocalMarket", stations: tuple[Station, ...], prices: tuple[DayPrice, ...]) -> tuple[Summary, Notes]:
    return play(market, stations, prices)


def test_who_is_registered_covered_and_allocated(played: tuple[Summary, Notes], stations: tuple[Station, ...]) -> None:
    summary, _ = played
    assert (summary["accounts_opened"], summary["accounts_covered"]) == (187, 91)
    bayswater = summary["accounts"][0]
    assert bayswater["name"] == "Bayswater Power Station"
    # 15,545,800 MWh x 0.8797, floored.
    assert bayswater["allocated_t"] == 15_545_800 * 8797 // 10_000 == 13_675_640
    assert bayswater["verified_t"] == stations[0].scope1_t
    numbers = [a["registry_account"] for a in summary["accounts"]] + [a["trading_account"] for a in summary["accounts"]]
    assert len(set(numbers)) == 2 * 187
    assert all(a["registration"] == "active" for a in summary["accounts"])


def test_days_are_the_real_ones(played: tuple[Summary, Notes], prices: tuple[DayPrice, ...]) -> None:
    summary, notes = played
    real = [(p.day.isoformat(), p.open_fen, p.high_fen, p.low_fen, p.close_fen) for p in prices]
    assert [(d["date"], d["open_fen"], d["high_fen"], d["low_fen"], d["close_fen"]) for d in summary["days"]] == real
    assert [(d.date, d.open_fen, d.high_fen, d.low_fen, d.close_fen) for d in notes.days] == real


def test_every_trade_has_one_voucher_and_the_days_numbers_have_no_gap(played: tuple[Summary, Notes]) -> None:
    summary, _ = played
    by_day: dict[str, list[int]] = {}
    for trade in summary["trades"]:
        code = trade["voucher"]
        assert len(code) == 36
        assert code.startswith("1TCNSH")
        by_day.setdefault(code[6:14], []).append(int(code[25:33]))
    assert [len(v) for v in by_day.values()] == [d["trades"] for d in summary["days"]]
    assert all(numbers == list(range(1, len(numbers) + 1)) for numbers in by_day.values())
    assert len({v["code"] for v in summary["vouchers"]}) == len(summary["vouchers"])


def test_money_and_units_are_conserved_entity_by_entity(played: tuple[Summary, Notes]) -> None:
    summary, _ = played
    bought: dict[str, int] = {}
    for trade in summary["trades"]:
        bought[trade["buyer"]] = bought.get(trade["buyer"], 0) + trade["quantity_t"]
        bought[trade["seller"]] = bought.get(trade["seller"], 0) - trade["quantity_t"]
    for account in summary["accounts"]:
        held = sum(account["registry_t"].values()) + sum(account["trading_t"].values())
        assert held == account["allocated_t"] + bought.get(account["entity"], 0) - account["surrendered_t"], account["entity"]
        assert account["cash_reserved_fen"] == 0
    held_fen = sum(a["cash_available_fen"] for a in summary["accounts"])
    assert held_fen == summary["cash"]["held_fen"]
    assert summary["cash"]["deposited_fen"] == held_fen + summary["cash"]["penalties_fen"]
    assert summary["conserved"] is True


def test_one_station_falls_short_and_is_penalised(played: tuple[Summary, Notes]) -> None:
    summary, _ = played
    assert summary["statuses"] == {"A": 90, "B": 1, "N": 96}
    (short,) = summary["penalised"]
    assert short["penalty_fen"] == short["shortfall_t"] * short["mean_price_fen"] * 5
    # The mean of November, the calendar month before the deadline's month: eight of the ten days.
    november = [d for d in summary["days"] if d["date"] < "2025-12"]
    amount, volume = sum(d["amount_fen"] for d in november), sum(d["volume_t"] for d in november)
    assert short["mean_price_fen"] == (2 * amount + volume) // (2 * volume)
    assert short["paid"] is True
    assert next(a for a in summary["accounts"] if a["entity"] == short["entity"])["credit_points"] > 0


def test_gas_limits_leave_room(played: tuple[Summary, Notes], market: "LocalMarket") -> None:
    assert played
    assert max(used for used, _ in market.gas.values()) * 2 < GAS_A_CALL


@pytest.mark.parametrize("seed", [1, 2, 3])
def test_the_order_of_transactions_sent_together_changes_nothing(
    seed: int, played: tuple[Summary, Notes], local_market: MakeMarket, stations: tuple[Station, ...], prices: tuple[DayPrice, ...]
) -> None:
    summary, _ = play(local_market(seed), stations, prices)
    assert outcome(summary) == outcome(played[0])
    assert outcome_digest(summary) == outcome_digest(played[0])


def test_an_unexpected_answer_stops_the_year_and_names_the_step(
    local_market: MakeMarket, stations: tuple[Station, ...], prices: tuple[DayPrice, ...]
) -> None:
    market = local_market(None)
    asyncio.run(run_year(Year(market, Silent(), stations, prices)))
    with pytest.raises(YearError, match=r"clock/2025-01-06T09:00:00: ABORT CLOCK-BACKWARD"):
        asyncio.run(run_year(Year(market, Silent(), stations, prices)))


def test_trading_days_must_lie_in_the_year(prices: tuple[DayPrice, ...]) -> None:
    from datetime import date

    import msgspec

    with pytest.raises(ConfigError, match="2025-11-22 is a Saturday"):
        check_days((msgspec.structs.replace(prices[0], day=date(2025, 11, 22)),))
    with pytest.raises(ConfigError, match="trades between"):
        check_days((msgspec.structs.replace(prices[0], day=date(2024, 11, 22)),))
