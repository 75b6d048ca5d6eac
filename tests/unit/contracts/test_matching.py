from collections.abc import Callable

import pytest

from carbonnode.local.chain import LocalRefusal, key_of
from carbonnode.local.market import LocalMarket

BOOK = "CEA-2024"
DAY = 20411  # 2025-11-19
Place = Callable[[str, str, int, int], str]


def trades(market: LocalMarket) -> list[tuple[object, object]]:
    return [(event.fields["price_fen"], event.fields["quantity_t"]) for event in market.events if event.name == "Trade"]


def fills(market: LocalMarket, name: str) -> list[tuple[object, ...]]:
    found = [event.fields for event in market.seen_by(name) if event.name == "Fill"]
    return [(f["side"], f["price_fen"], f["quantity_t"], f["left_t"]) for f in found]


def refused(market: LocalMarket, name: str, *args: str | int) -> str:
    return market.refused(name, "matching", "place", *args)


def test_trade_at_the_makers_price(trading: LocalMarket, place: Place) -> None:
    place("ALPHA", "S", 6200, 100)
    place("BRAVO", "B", 6300, 150)
    assert trades(trading) == [(6200, 100)]
    assert fills(trading, "BRAVO") == [("B", 6200, 100, 50)]
    assert fills(trading, "ALPHA") == [("S", 6200, 100, 0)]
    assert trading.view("matching", "depth", BOOK, 5) == ("B", 6300, 50)


def test_price_then_time(trading: LocalMarket, place: Place) -> None:
    place("ALPHA", "S", 6210, 10)
    place("BRAVO", "S", 6200, 10)
    place("CHARLIE", "S", 6200, 10)
    place("DELTA", "B", 6210, 25)
    assert trades(trading) == [(6200, 10), (6200, 10), (6210, 5)]
    assert fills(trading, "BRAVO")
    assert fills(trading, "CHARLIE")
    assert fills(trading, "ALPHA") == [("S", 6210, 5, 5)]


def test_buys_are_served_from_the_highest_price(trading: LocalMarket, place: Place) -> None:
    place("ALPHA", "B", 6190, 10)
    place("BRAVO", "B", 6200, 10)
    place("CHARLIE", "B", 6200, 10)
    place("DELTA", "S", 6190, 15)
    assert trades(trading) == [(6200, 10), (6200, 5)]
    assert [name for name in ("ALPHA", "BRAVO", "CHARLIE") if fills(trading, name)] == ["BRAVO", "CHARLIE"]


def test_partial_fill_keeps_its_place(trading: LocalMarket, place: Place) -> None:
    place("ALPHA", "S", 6200, 100)
    place("BRAVO", "S", 6200, 100)
    place("CHARLIE", "B", 6200, 30)
    place("CHARLIE", "B", 6200, 80)
    assert fills(trading, "ALPHA") == [("S", 6200, 30, 70), ("S", 6200, 70, 0)]
    assert fills(trading, "BRAVO") == [("S", 6200, 10, 90)]


def test_no_self_trade_within_an_organisation(local_market: LocalMarket) -> None:
    for name, org in (("ST-1", "ORIGIN"), ("ST-2", "ORIGIN"), ("ST-3", "OTHER")):
        local_market.member(name, org=org)
        local_market.fund(name, cash_fen=10**9, iv=BOOK, units_t=1_000)
    local_market.open_market(DAY)
    local_market.by("ST-1", "matching", "place", BOOK, "S", 6200, 10, "")
    local_market.by("ST-3", "matching", "place", BOOK, "S", 6201, 10, "")
    local_market.by("ST-2", "matching", "place", BOOK, "B", 6201, 15, "")
    assert trades(local_market) == [(6201, 10)]
    assert local_market.view("matching", "depth", BOOK, 5) == ("S", 6200, 10, "B", 6201, 5)


def test_suspended_makers_are_passed_over(trading: LocalMarket, place: Place) -> None:
    place("ALPHA", "S", 6200, 10)
    place("BRAVO", "S", 6201, 10)
    trading.by("authority", "identity", "freeze", "ALPHA", "order")
    place("CHARLIE", "B", 6201, 5)
    assert trades(trading) == [(6201, 5)]
    trading.by("authority", "identity", "unfreeze", "ALPHA", "lifted")
    place("CHARLIE", "B", 6201, 5)
    assert trades(trading) == [(6201, 5), (6200, 5)]


@pytest.mark.parametrize(
    ("args", "code"),
    [
        ((BOOK, "S", 6815, 1), ""),
        ((BOOK, "S", 6816, 1), "TRADE-PRICE-LIMIT"),
        ((BOOK, "S", 5577, 1), ""),
        ((BOOK, "S", 5576, 1), "TRADE-PRICE-LIMIT"),
        ((BOOK, "S", 6196, 99_999), ""),
        ((BOOK, "S", 6196, 100_000), "TRADE-LISTING-SIZE"),
        ((BOOK, "S", 6196, 0), "TRADE-LOT"),
        ((BOOK, "S", 6196, -5), "TRADE-LOT"),
        ((BOOK, "X", 6196, 1), "TRADE-SIDE"),
        (("CEA-2020", "S", 6196, 1), "TRADE-NO-BOOK"),
    ],
)
def test_limits_of_an_order(trading: LocalMarket, args: tuple[str, str, int, int], code: str) -> None:
    """6196 fen +-10 %: 6815.6 is floored, 5576.4 is raised."""
    if code:
        assert refused(trading, "ALPHA", *args, "") == code
    else:
        trading.by("ALPHA", "matching", "place", *args, "")


def test_money_and_units_are_set_aside_when_the_order_enters(trading: LocalMarket, place: Place) -> None:
    place("ALPHA", "B", 6200, 1_000)
    assert trading.ask("ALPHA", "cash", "balance", "ALPHA") == (10_000_000_000 - 6_200_000, 6_200_000, 0)
    place("BRAVO", "S", 6300, 99_999)
    found = trading.ask("BRAVO", "allowance", "holding", "BRAVO", BOOK)
    assert isinstance(found, tuple)
    assert found[5:7] == (900_001, 99_999)


def test_uncovered_orders_are_refused(trading: LocalMarket) -> None:
    trading.member("POOR")
    assert refused(trading, "POOR", BOOK, "B", 6196, 1, "") == "CASH-AVAILABLE"
    assert refused(trading, "POOR", BOOK, "S", 6196, 1, "") == "UNITS-AVAILABLE"
    assert refused(trading, "nobody", BOOK, "S", 6196, 1, "") == "ACCESS-UNKNOWN-KEY"


def test_better_price_frees_the_difference(trading: LocalMarket, place: Place) -> None:
    place("ALPHA", "S", 6000, 100)
    place("BRAVO", "B", 6300, 100)
    assert trading.ask("BRAVO", "cash", "balance", "BRAVO") == (10_000_000_000 - 600_000, 0, 0)
    assert trading.ask("ALPHA", "cash", "balance", "ALPHA") == (10_000_000_000 + 600_000, 0, 0)


def test_bought_today_is_sold_tomorrow(trading: LocalMarket, place: Place) -> None:
    trading.member("NEW")
    trading.fund("NEW", cash_fen=10**9)
    place("ALPHA", "S", 6200, 100)
    place("NEW", "B", 6200, 100)
    assert refused(trading, "NEW", BOOK, "S", 6200, 1, "") == "TRADE-T-PLUS-1"
    assert trading.refused("NEW", "allowance", "to_registry", BOOK, 1) == "UNITS-AVAILABLE"
    trading.fund("NEW", iv=BOOK, units_t=7)
    place("NEW", "S", 6300, 7)
    assert refused(trading, "NEW", BOOK, "S", 6300, 1, "") == "TRADE-T-PLUS-1"
    trading.close_market()
    trading.open_market(DAY + 1)
    place("NEW", "S", 6300, 107)


def test_t_plus_0_where_the_rule_set_says_so(local_market: LocalMarket) -> None:
    market = LocalMarket(local_market.rules.override({"t_plus": 0}))
    market.vintage(2024)
    market.by("exchange", "matching", "open_book", BOOK, 6196)
    for name in ("ALPHA", "BRAVO"):
        market.member(name)
        market.fund(name, cash_fen=10**9)
    market.fund("ALPHA", iv=BOOK, units_t=100)
    market.open_market(DAY)
    market.by("ALPHA", "matching", "place", BOOK, "S", 6196, 100, "")
    market.by("BRAVO", "matching", "place", BOOK, "B", 6196, 100, "")
    market.by("BRAVO", "matching", "place", BOOK, "S", 6196, 100, "")
    market.by("ALPHA", "matching", "place", BOOK, "B", 6196, 100, "")
    market.close_market()
    assert market.ask("ALPHA", "allowance", "blocks", "ALPHA", BOOK, "T", 0, 10) == (1, 100)


def test_cancel_frees_what_is_left(trading: LocalMarket, place: Place) -> None:
    order = place("ALPHA", "B", 6200, 100)
    place("BRAVO", "S", 6200, 40)
    assert trading.refused("BRAVO", "matching", "cancel", order) == "ACCESS-ROLE"
    assert trading.by("ALPHA", "matching", "cancel", order) == 60
    assert trading.ask("ALPHA", "cash", "balance", "ALPHA") == (10_000_000_000 - 248_000, 0, 0)
    assert trading.refused("ALPHA", "matching", "cancel", order) == "TRADE-NO-ORDER"
    other = place("ALPHA", "B", 6200, 10)
    assert trading.by("exchange", "matching", "cancel", other) == 10


@pytest.mark.parametrize("order", ["", "CEA-2024.B.6200", "CEA-2024.X.6200.1", "CEA-2024.B.0.1", "CEA-2024.B.6200.-1", "CEA-2024.B.x.1"])
def test_malformed_order_ids(trading: LocalMarket, order: str) -> None:
    assert trading.refused("ALPHA", "matching", "cancel", order) in ("TRADE-ORDER-ID", "vm.value")


@pytest.mark.parametrize(
    ("minutes", "accepted"),
    [(569, False), (570, True), (689, True), (690, False), (779, False), (780, True), (899, True), (900, False)],
)
def test_sessions(trading: LocalMarket, minutes: int, accepted: bool) -> None:
    trading.at_local(DAY, minutes)
    if accepted:
        trading.by("ALPHA", "matching", "place", BOOK, "S", 6196, 1, "")
    else:
        assert refused(trading, "ALPHA", BOOK, "S", 6196, 1, "") == "TRADE-SESSION"


def test_market_opens_on_trading_days_by_the_exchange(local_market: LocalMarket) -> None:
    local_market.at_local(DAY + 3, 560)
    assert local_market.refused("exchange", "matching", "open_day") == "TRADE-CALENDAR"
    local_market.at_local(DAY, 560)
    assert local_market.refused("authority", "matching", "open_day") == "ACCESS-ROLE"
    local_market.by("exchange", "matching", "open_day")
    assert local_market.refused("exchange", "matching", "open_day") == "TRADE-DAY-OPEN"


def test_trading_day_is_the_markets_day_not_utc(local_market: LocalMarket) -> None:
    local_market.at_local(DAY, 1)  # 16:01 UTC of the day before
    assert local_market.by("exchange", "matching", "open_day") == DAY


def test_close_is_the_volume_weighted_average_half_up(trading: LocalMarket, place: Place) -> None:
    for price, quantity in ((6200, 100), (6250, 60), (6210, 40)):
        place("ALPHA", "S", price, quantity)
        place("BRAVO", "B", price, quantity)
    assert trading.view("matching", "quote", BOOK) == (6196, 5577, 6815, 6200, 6250, 6200, 6210, 200, 1_243_400, 3)
    trading.close_market()
    assert trading.view("matching", "close_of", BOOK, DAY) == (6200, 6250, 6200, 6217, 200, 1_243_400, 3)
    trading.open_market(DAY + 1)
    place("ALPHA", "S", 6200, 1)
    place("BRAVO", "B", 6200, 1)
    place("ALPHA", "S", 6201, 1)
    place("BRAVO", "B", 6201, 1)
    trading.close_market()
    close = trading.view("matching", "close_of", BOOK, DAY + 1)
    assert isinstance(close, tuple)
    assert close[3] == 6201  # 6200.5


def test_day_without_trades_keeps_the_close(trading: LocalMarket) -> None:
    trading.close_market()
    assert trading.view("matching", "close_of", BOOK, DAY) == (0, 0, 0, 6196, 0, 0, 0)
    assert trading.view("matching", "composite", DAY) == 6196


def test_orders_lapse_at_the_close(trading: LocalMarket, place: Place) -> None:
    place("ALPHA", "B", 6200, 100)
    place("BRAVO", "S", 6300, 100)
    assert trading.refused("exchange", "matching", "expire", BOOK, 10) == "TRADE-SESSION"
    trading.at_local(DAY, 15 * 60)
    assert trading.refused("exchange", "matching", "close_day") == "TRADE-ORDERS-REMAIN"
    assert trading.by("exchange", "matching", "expire", BOOK, 1) == 1
    assert refused(trading, "ALPHA", BOOK, "S", 6196, 1, "") == "TRADE-MARKET-CLOSED"
    assert trading.by("exchange", "matching", "expire", BOOK, 10) == 1
    assert trading.by("exchange", "matching", "expire", BOOK, 10) == 0
    trading.by("exchange", "matching", "close_day")
    assert trading.ask("ALPHA", "cash", "balance", "ALPHA") == (10_000_000_000, 0, 0)
    found = trading.ask("BRAVO", "allowance", "holding", "BRAVO", BOOK)
    assert isinstance(found, tuple)
    assert found[5:7] == (1_000_000, 0)


def test_halt_needs_a_second_member_to_end(trading: LocalMarket) -> None:
    assert trading.refused("ALPHA", "matching", "halt", "fire") == "ACCESS-ROLE"
    trading.by("authority", "matching", "halt", "fire")
    assert refused(trading, "ALPHA", BOOK, "S", 6196, 1, "") == "TRADE-HALTED"
    assert trading.refused("authority", "matching", "resume") == "TRADE-RESUME-SECOND-PERSON"
    trading.by("exchange", "matching", "resume")
    trading.by("ALPHA", "matching", "place", BOOK, "S", 6196, 1, "")


def test_rest_beyond_the_largest_number_of_fills_lapses(local_market: LocalMarket) -> None:
    market = LocalMarket(local_market.rules.override({"max_fills": 3}))
    market.vintage(2024)
    market.by("exchange", "matching", "open_book", BOOK, 6196)
    for name in ("ALPHA", "BRAVO"):
        market.member(name)
        market.fund(name, cash_fen=10**9, iv=BOOK, units_t=1_000)
    market.open_market(DAY)
    for _ in range(5):
        market.by("ALPHA", "matching", "place", BOOK, "S", 6196, 1, "")
    market.by("BRAVO", "matching", "place", BOOK, "B", 6200, 10, "")
    assert len(trades(market)) == 3
    assert market.view("matching", "depth", BOOK, 5) == ("S", 6196, 2)
    assert market.ask("BRAVO", "cash", "balance", "BRAVO") == (10**9 - 3 * 6196, 0, 0)


def test_public_feed_names_nobody(trading: LocalMarket, place: Place) -> None:
    place("ALPHA", "S", 6200, 100)
    place("BRAVO", "B", 6200, 100)
    for event in trading.seen_by(""):
        assert not {"ALPHA", "BRAVO"} & {str(value) for value in event.fields.values()}


def test_own_orders_and_depth(trading: LocalMarket, place: Place) -> None:
    first, second = place("ALPHA", "S", 6300, 5), place("ALPHA", "S", 6290, 7)
    place("BRAVO", "S", 6300, 4)
    assert trading.ask("ALPHA", "matching", "orders", BOOK, "S") == (second, 7, 7, "", first, 5, 5, "")
    assert trading.view("matching", "depth", BOOK, 5) == ("S", 6290, 7, "S", 6300, 9)
    assert trading.view("matching", "depth", BOOK, 1) == ("S", 6290, 7)
    assert trading.ask("ALPHA", "matching", "order", first) == ("ALPHA", 5, 5, "")
    with pytest.raises(LocalRefusal, match="ACCESS-READ"):
        trading.view("matching", "order", first, sender=key_of("BRAVO"))


def test_mean_price_of_a_period(trading: LocalMarket, place: Place) -> None:
    for day, price, quantity in ((DAY, 6200, 100), (DAY + 1, 6300, 300)):
        if day != DAY:
            trading.open_market(day)
        place("ALPHA", "S", price, quantity)
        place("BRAVO", "B", price, quantity)
        trading.close_market()
    assert trading.view("matching", "mean_price", BOOK, DAY, DAY + 1) == 6275
    assert trading.view("matching", "mean_price", BOOK, DAY, DAY) == 6200
    assert trading.view("matching", "mean_price", BOOK, DAY + 2, DAY + 9) == 6300
    assert trading.view("matching", "mean_price", BOOK, DAY - 9, DAY - 1) == 0


def test_keys_changed_by_an_order_stay_few(trading: LocalMarket, place: Place) -> None:
    mark = trading.state.mark()
    place("ALPHA", "S", 6200, 100)
    assert len(trading.state.changed_keys(mark)) <= 4
    mark = trading.state.mark()
    place("BRAVO", "B", 6200, 100)
    assert len(trading.state.changed_keys(mark)) <= 10
