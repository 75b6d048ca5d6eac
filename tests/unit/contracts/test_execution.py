from collections.abc import Callable

from carbonnode.local.market import LocalMarket
from carbonnode.vm.keys import storage_key

BOOK = "CEA-2024"
DAY = 20411
Place = Callable[[str, str, int, int], str]


def blocks(market: LocalMarket, name: str) -> object:
    return market.ask(name, "allowance", "blocks", name, BOOK, "T", 0, 50)


def end_day(market: LocalMarket, day: int) -> None:
    market.at_local(day, 15 * 60)
    while market.by("exchange", "matching", "expire", BOOK, 100):
        pass
    market.by("exchange", "matching", "close_day")


def test_only_the_market_executes(trading: LocalMarket) -> None:
    for method, args in (
        ("admit", ("B", BOOK, 6196, 1, 0)),
        ("settle", ("B", BOOK, "ALPHA", 6196, 1, ("BRAVO", "BRAVO", 6196, 1), DAY)),
        ("release", ("B", BOOK, ("ALPHA", 6196, 1))),
    ):
        for name in ("ALPHA", "exchange", "authority"):
            assert trading.refused(name, "execution", method, *args) == "ACCESS-CALLER"


def test_both_legs_or_none(trading: LocalMarket, place: Place) -> None:
    """The maker's reservation is broken by hand: the taker's whole transaction leaves no trace."""
    place("ALPHA", "S", 6200, 100)
    key = storage_key("allowance", "trading_holdings", (BOOK, "ALPHA"))
    good = trading.state.get(key)
    assert isinstance(good, tuple)
    trading.state.put(key, (good[0], 50, *good[2:]))
    before = dict(trading.state.data)
    assert trading.refused("BRAVO", "matching", "place", BOOK, "B", 6200, 100, "") == "UNITS-RESERVED"
    assert trading.state.data == before


def test_serials_follow_in_trade_order(trading: LocalMarket, place: Place) -> None:
    place("ALPHA", "S", 6200, 100)
    place("BRAVO", "B", 6200, 30)
    place("CHARLIE", "B", 6200, 70)
    assert blocks(trading, "ALPHA") == (1, 1_000_000)
    assert trading.refused("exchange", "execution", "deliver", DAY, 10) == "SETTLE-DAY-OPEN"
    end_day(trading, DAY)
    assert trading.refused("ALPHA", "execution", "deliver", DAY, 10) == "ACCESS-ROLE"
    assert trading.by("exchange", "execution", "deliver", DAY, 1) == 1
    assert trading.by("exchange", "execution", "deliver", DAY, 5) == 1
    assert trading.by("exchange", "execution", "deliver", DAY, 5) == 0
    assert blocks(trading, "ALPHA") == (101, 1_000_000)
    assert blocks(trading, "BRAVO") == (1, 30, 1_000_001, 2_000_000)
    assert blocks(trading, "CHARLIE") == (31, 100, 2_000_001, 3_000_000)
    assert trading.ask("exchange", "execution", "serials_of", DAY, 2) == (31, 100)
    assert trading.refused("exchange", "execution", "deliver", DAY, 5) == "SETTLE-DAY-DONE"
    names = [(event.to, event.fields["quantity_t"]) for event in trading.events if event.name == "UnitsDelivered"]
    assert names == [("ALPHA", -30), ("BRAVO", 30), ("ALPHA", -70), ("CHARLIE", 70)]


def test_next_day_waits_for_delivery(trading: LocalMarket, place: Place) -> None:
    place("ALPHA", "S", 6200, 100)
    place("BRAVO", "B", 6200, 100)
    end_day(trading, DAY)
    trading.at_local(DAY + 1, 560)
    assert trading.refused("exchange", "matching", "open_day") == "SETTLE-UNDELIVERED"
    trading.by("exchange", "execution", "deliver", DAY, 5)
    assert trading.refused("exchange", "matching", "open_day") == "SETTLE-UNDELIVERED"
    trading.by("exchange", "execution", "deliver", DAY, 5)
    trading.by("exchange", "matching", "open_day")


def test_units_move_back_only_when_delivered(trading: LocalMarket, place: Place) -> None:
    """A seller may take back during the day what it still has; from the tail, for the head is owed to its buyers."""
    trading.member("NEW")
    trading.fund("NEW", cash_fen=10**9)
    place("ALPHA", "S", 6200, 99_000)
    place("NEW", "B", 6200, 1_000)
    assert trading.refused("NEW", "allowance", "to_registry", BOOK, 1) == "UNITS-AVAILABLE"
    trading.by("ALPHA", "allowance", "to_registry", BOOK, 901_000)
    assert trading.refused("ALPHA", "allowance", "to_registry", BOOK, 1) == "UNITS-AVAILABLE"
    assert blocks(trading, "ALPHA") == (1, 99_000)
    end_day(trading, DAY)
    assert trading.refused("NEW", "allowance", "to_registry", BOOK, 1) == "UNITS-AVAILABLE"
    while trading.by("exchange", "execution", "deliver", DAY, 5):
        pass
    assert blocks(trading, "ALPHA") == (1_001, 99_000)
    trading.by("NEW", "allowance", "to_registry", BOOK, 1_000)
    assert trading.ask("NEW", "allowance", "blocks", "NEW", BOOK, "R", 0, 5) == (1, 1_000)


def test_every_trade_has_one_voucher_and_both_notices(trading: LocalMarket, place: Place) -> None:
    place("ALPHA", "S", 6200, 10)
    place("ALPHA", "S", 6201, 10)
    place("BRAVO", "B", 6201, 15)
    bought = [event.fields["voucher"] for event in trading.seen_by("BRAVO") if event.name == "Fill"]
    sold = [event.fields["voucher"] for event in trading.seen_by("ALPHA") if event.name == "Fill"]
    assert bought == sold
    assert len(set(bought)) == 2
    assert trading.view("voucher", "last_number", "CNSH", DAY) == 2


def test_a_trade_in_very_many_pieces_is_delivered_in_steps(trading: LocalMarket, place: Place) -> None:
    """SCRAPS' units come in 260 blocks of one tonne that don't touch: more than one step moves."""
    trading.member("SCRAPS")
    for _ in range(260):
        trading.fund("SCRAPS", iv=BOOK, units_t=1)
        trading.fund("ALPHA", iv=BOOK, units_t=1)
    place("SCRAPS", "S", 6200, 260)
    place("BRAVO", "B", 6200, 260)
    place("ALPHA", "S", 6200, 5)
    place("BRAVO", "B", 6200, 5)
    end_day(trading, DAY)
    steps: list[object] = []
    while not steps or steps[-1]:
        steps.append(trading.by("exchange", "execution", "deliver", DAY, 10))
        assert len(steps) < 10
    assert steps == [1, 1, 2, 0]
    assert blocks(trading, "SCRAPS") == ()
    ranges = trading.ask("exchange", "execution", "serials_of", DAY, 1)
    assert isinstance(ranges, tuple)
    assert len(ranges) == 520
    delivered = [event.fields["quantity_t"] for event in trading.seen_by("BRAVO") if event.name == "UnitsDelivered"]
    assert delivered == [100, 100, 60, 5]
