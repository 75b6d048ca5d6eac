from collections.abc import Callable

import pytest

from carbonnode.local.chain import LocalRefusal, key_of
from carbonnode.local.market import LocalMarket

EXAMPLE = "1T-CNSH-20251119-143207-CEA24-00000412-0-OH"
DAY = 20411
Place = Callable[[str, str, int, int], str]


def trade(market: LocalMarket, place: Place, quantity: int = 10) -> str:
    place("ALPHA", "S", 6200, quantity)
    place("BRAVO", "B", 6200, quantity)
    return str([event for event in market.seen_by("BRAVO") if event.name == "Fill"][-1].fields["voucher"])


def test_published_example(local_market: LocalMarket) -> None:
    assert local_market.view("voucher", "parse", EXAMPLE) == (1, "T", "CNSH", "20251119", "143207", "CEA", "24", 412, 0, "OH")
    assert local_market.view("voucher", "make", "T", "CNSH", "20251119", "143207", "CEA24", 412, 0) == EXAMPLE.replace("-", "")
    assert local_market.view("voucher", "check", EXAMPLE) == "unknown"


@pytest.mark.parametrize(
    ("code", "refusal"),
    [
        (EXAMPLE[:-1], "VOUCHER-LENGTH"),
        (EXAMPLE.replace("OH", "OI"), "VOUCHER-CHECK"),
        (EXAMPLE.replace("412", "421"), "VOUCHER-CHECK"),
        (EXAMPLE.replace("T", "t", 1), "VOUCHER-CHARACTER"),
        (EXAMPLE.replace("1T", "2T"), "VOUCHER-VERSION"),
    ],
)
def test_refusals_name_the_field(local_market: LocalMarket, code: str, refusal: str) -> None:
    with pytest.raises(LocalRefusal, match=refusal):
        local_market.view("voucher", "parse", code)


@pytest.mark.parametrize(
    ("fields", "refusal"),
    [
        (("Z", "CNSH", "20251119", "143207", "CEA24", 1, 0), "VOUCHER-TYPE"),
        (("T", "1NSH", "20251119", "143207", "CEA24", 1, 0), "VOUCHER-LETTERS"),
        (("T", "CNSH", "20251131", "143207", "CEA24", 1, 0), "VOUCHER-DATE"),
        (("T", "CNSH", "2025111A", "143207", "CEA24", 1, 0), "VOUCHER-DIGITS"),
        (("T", "CNSH", "20251119", "243207", "CEA24", 1, 0), "VOUCHER-TIME"),
        (("T", "CNSH", "20251119", "143260", "CEA24", 1, 0), "VOUCHER-TIME"),
        (("T", "CNSH", "20251119", "143207", "C3A24", 1, 0), "VOUCHER-LETTERS"),
        (("T", "CNSH", "20251119", "143207", "CEA24", 0, 0), "VOUCHER-NUMBER"),
        (("T", "CNSH", "20251119", "143207", "CEA24", 1, 3), "VOUCHER-PART"),
    ],
)
def test_fields_are_checked_behind_right_check_characters(local_market: LocalMarket, fields: tuple[str | int, ...], refusal: str) -> None:
    with pytest.raises(LocalRefusal, match=refusal):
        local_market.view("voucher", "make", *fields)


def test_code_of_a_trade(trading: LocalMarket, place: Place) -> None:
    trading.at_local(DAY, 14 * 60 + 32)
    trading.time_ms += 7_000
    code = trade(trading, place)
    assert code[:33] == "1TCNSH20251119143207CEA2400000001"
    assert trading.view("voucher", "check", code) == "valid"
    assert trading.view("voucher", "make", "T", "CNSH", "20251119", "143207", "CEA24", 1, 0) == code
    record = trading.ask("BRAVO", "voucher", "record", code)
    assert isinstance(record, tuple)
    assert record[1:] == ("T", trading.market_time_ms, trading.height - 1, "CEA-2024", 10, 6200, "ALPHA", "BRAVO", "B", "valid", "", "")
    assert record[0] == code


def test_records_are_for_the_parties(trading: LocalMarket, place: Place) -> None:
    code = trade(trading, place)
    for reader in ("ALPHA", "BRAVO", "exchange", "authority"):
        trading.ask(reader, "voucher", "record", code)
    for sender in (key_of("CHARLIE"), bytes(32)):
        with pytest.raises(LocalRefusal, match="ACCESS-READ"):
            trading.view("voucher", "record", code, sender=sender)
    assert trading.view("voucher", "check", code) == "valid"


def test_numbers_run_without_gaps_by_venue_and_day(trading: LocalMarket, place: Place) -> None:
    codes = [trade(trading, place) for _ in range(3)]
    assert [int(code[25:33]) for code in codes] == [1, 2, 3]
    # Four opening balances were issued by the registry's venue, on the day the chain started: they don't count here.
    assert trading.view("voucher", "last_number", "CNSH", DAY) == 3
    assert trading.view("voucher", "last_number", "CNHB", DAY) == 0
    assert trading.ask("authority", "voucher", "page", "CNSH", DAY, 1, 10) == tuple(codes[1:])
    trading.close_market()
    trading.open_market(DAY + 1)
    after = trade(trading, place)
    assert (after[6:14], after[25:33]) == ("20251120", "00000001")
    record = trading.ask("BRAVO", "voucher", "record", after)
    assert isinstance(record, tuple)
    assert record[12] == codes[-1]


def test_a_refused_trade_uses_up_no_number(trading: LocalMarket, place: Place) -> None:
    first = trade(trading, place)
    assert trading.refused("ALPHA", "matching", "place", "CEA-2024", "S", 1, 1, "") == "TRADE-PRICE-LIMIT"
    second = trade(trading, place)
    assert int(second[25:33]) == int(first[25:33]) + 1


def test_parts(trading: LocalMarket, place: Place) -> None:
    code = trade(trading, place)
    buyers = str(trading.view("voucher", "part_code", code, 1))
    assert buyers[33] == "1"
    assert trading.view("voucher", "check", buyers) == "valid"
    with pytest.raises(LocalRefusal, match="VOUCHER-PART"):
        trading.view("voucher", "part_code", code, 3)


def test_correction_supersedes_and_names_the_original(trading: LocalMarket, place: Place) -> None:
    code = trade(trading, place)
    assert trading.refused("ALPHA", "voucher", "correct", code, "wrong") == "ACCESS-ROLE"
    assert trading.refused("exchange", "voucher", "correct", EXAMPLE, "wrong") == "VOUCHER-UNKNOWN"
    correction = str(trading.by("exchange", "voucher", "correct", code, "wrong account"))
    assert correction[1] == "X"
    assert trading.view("voucher", "check", code) == "superseded"
    assert trading.view("voucher", "check", correction) == "valid"
    record = trading.ask("ALPHA", "voucher", "record", correction)
    assert isinstance(record, tuple)
    assert (record[9], record[11]) == ("wrong account", code)
    assert trading.refused("exchange", "voucher", "correct", code, "again") == "VOUCHER-SUPERSEDED"


def test_a_code_of_another_time_is_unknown(trading: LocalMarket, place: Place) -> None:
    """Right grammar, right number, wrong second: not the code that was issued."""
    code = trade(trading, place)
    forged = trading.view("voucher", "make", "T", "CNSH", "20251119", "093001", "CEA24", 1, 0)
    assert forged != code
    assert trading.view("voucher", "check", forged) == "unknown"


def test_nobody_issues_by_hand(trading: LocalMarket) -> None:
    for name in ("ALPHA", "exchange", "authority"):
        assert trading.refused(name, "voucher", "issue", "T", "CEA-2024", 1, 1, "ALPHA", "BRAVO", "") == "ACCESS-CALLER"
        assert trading.refused(name, "voucher", "issue_trades", "B", "CEA-2024", "ALPHA", ("BRAVO", "BRAVO", 1, 1)) == "ACCESS-CALLER"
