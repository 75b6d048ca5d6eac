import pytest

from carbonnode.local.chain import LocalRefusal
from carbonnode.local.market import LocalMarket, document

IV = "CEA-2024"


def holding(market: LocalMarket, name: str) -> tuple[int, ...]:
    found = market.ask(name, "allowance", "holding", name, IV)
    assert isinstance(found, tuple)
    return found


def blocks(market: LocalMarket, name: str, place: str) -> object:
    return market.ask(name, "allowance", "blocks", name, IV, place, 0, 50)


@pytest.fixture
def held(local_market: LocalMarket) -> LocalMarket:
    """ALPHA: serials 1 to 1,000, BRAVO: 1,001 to 3,000, both in the registry; 10,000 t cap with 4,000 t reserve in vintage 2025."""
    for name, tonnes in (("ALPHA", 1_000), ("BRAVO", 2_000)):
        local_market.member(name)
        local_market.by("authority", "allowance", "issue", name, IV, tonnes, "opening", False)
    return local_market


def test_serials_are_inclusive_and_in_order(held: LocalMarket) -> None:
    assert blocks(held, "ALPHA", "R") == (1, 1_000)
    assert blocks(held, "BRAVO", "R") == (1_001, 3_000)
    assert held.view("allowance", "serial_text", IV, 1, 1_000) == "CN-CEA-2024-42-000000000001-000000001000"
    assert held.ask("BRAVO", "allowance", "unit", IV, 1_001) == (1_001, 3_000, "BRAVO", "R")
    assert held.ask("ALPHA", "allowance", "unit", IV, 1_000) == (1, 1_000, "ALPHA", "R")
    with pytest.raises(LocalRefusal, match="UNITS-NO-SERIAL"):
        held.ask("authority", "allowance", "unit", IV, 3_001)


def test_only_the_authority_issues_within_the_cap(held: LocalMarket) -> None:
    held.by("authority", "allowance", "open_vintage", "CEA", 2025, 10_000, 4_000)
    assert held.refused("registry", "allowance", "issue", "ALPHA", "CEA-2025", 1, "x", False) == "ACCESS-ROLE"
    held.by("authority", "allowance", "issue", "ALPHA", "CEA-2025", 9_999, "x", False)
    assert held.refused("authority", "allowance", "issue", "ALPHA", "CEA-2025", 2, "x", False) == "ALLOC-CAP"
    assert held.refused("authority", "allowance", "issue", "ALPHA", "CEA-2023", 2, "x", False) == "UNITS-NO-VINTAGE"
    assert held.refused("authority", "allowance", "issue", "ALPHA", IV, 0, "x", False) == "UNITS-QUANTITY"
    assert held.refused("authority", "allowance", "issue", "ALPHA", IV, -5, "x", False) == "UNITS-QUANTITY"
    assert held.refused("authority", "allowance", "issue", "NOBODY", IV, 5, "x", False) == "IDENTITY-UNKNOWN"


def test_registry_and_trading_holdings_are_apart(held: LocalMarket) -> None:
    held.by("ALPHA", "allowance", "to_trading", IV, 300)
    assert holding(held, "ALPHA") == (700, 0, 0, 0, 0, 300, 0, 0, 0, 0, 0)
    assert (blocks(held, "ALPHA", "R"), blocks(held, "ALPHA", "T")) == ((301, 1_000), (1, 300))
    assert held.refused("ALPHA", "allowance", "to_trading", IV, 701) == "UNITS-AVAILABLE"
    held.by("ALPHA", "allowance", "to_registry", IV, 100)
    assert (blocks(held, "ALPHA", "R"), blocks(held, "ALPHA", "T")) == ((201, 1_000), (1, 200))
    assert held.refused("ALPHA", "allowance", "to_registry", IV, 201) == "UNITS-AVAILABLE"
    assert held.view("allowance", "totals", IV) == (10**11, 3_000, 2_800, 200, 0, 0, 0)
    held.by("ALPHA", "allowance", "to_registry", IV, 200)
    assert (blocks(held, "ALPHA", "R"), blocks(held, "ALPHA", "T")) == ((1, 1_000), ())


def test_off_exchange_transfer_only_where_allowed(held: LocalMarket) -> None:
    assert held.refused("ALPHA", "allowance", "transfer", IV, "BRAVO", 10, "sale") == "UNITS-TRANSFER-NOT-ALLOWED"


def test_transfer_moves_exactly(local_market: LocalMarket) -> None:
    market = LocalMarket(local_market.rules.override({"off_exchange_transfer": 1}))
    market.vintage(2024)
    for name in ("ALPHA", "BRAVO"):
        market.member(name)
        market.by("authority", "allowance", "issue", name, IV, 1_000, "x", False)
    market.by("ALPHA", "allowance", "transfer", IV, "BRAVO", 400, "sale")
    assert holding(market, "ALPHA")[0] == 600
    assert holding(market, "BRAVO")[0] == 1_400
    assert blocks(market, "ALPHA", "R") == (401, 1_000)
    assert blocks(market, "BRAVO", "R") == (1, 400, 1_001, 2_000)
    assert market.view("allowance", "conserved") is True
    assert market.refused("ALPHA", "allowance", "transfer", IV, "ALPHA", 1, "") == "UNITS-RECEIVER"
    assert market.refused("ALPHA", "allowance", "transfer", IV, "EXCHANGE-1", 1, "") == "IDENTITY-MANAGEMENT"


def test_cancelled_units_are_gone(held: LocalMarket) -> None:
    code = held.by("ALPHA", "allowance", "cancel", IV, 250, "for the climate")
    assert str(code)[1] == "R"
    assert holding(held, "ALPHA")[0] == 750
    assert held.view("allowance", "totals", IV) == (10**11, 3_000, 2_750, 0, 0, 250, 0)
    assert held.refused("ALPHA", "allowance", "cancel", IV, 751, "again") == "UNITS-AVAILABLE"
    assert blocks(held, "ALPHA", "C") == (1, 250)
    public = [event for event in held.seen_by("") if event.name == "VoluntaryCancellation"]
    assert public[0].fields == {"iv": IV, "quantity_t": 250}


def test_pledged_units_are_out_of_reach(held: LocalMarket) -> None:
    held.by("ALPHA", "allowance", "pledge", IV, "BRAVO", 900)
    assert holding(held, "ALPHA")[:5] == (100, 0, 0, 900, 0)
    for method, args in (("to_trading", (IV, 101)), ("cancel", (IV, 101, "x")), ("pledge", (IV, "BRAVO", 101))):
        assert held.refused("ALPHA", "allowance", method, *args) == "UNITS-AVAILABLE"
    assert held.refused("ALPHA", "allowance", "release_pledge", IV, "ALPHA", 900) == "UNITS-PLEDGED"
    assert held.refused("BRAVO", "allowance", "release_pledge", IV, "ALPHA", 901) == "UNITS-PLEDGED"
    held.by("BRAVO", "allowance", "release_pledge", IV, "ALPHA", 400)
    held.by("BRAVO", "allowance", "release_pledge", IV, "ALPHA", 500)
    assert holding(held, "ALPHA")[:5] == (1_000, 0, 0, 0, 0)


def test_frozen_units_need_a_legal_reference(held: LocalMarket) -> None:
    assert held.refused("exchange", "allowance", "freeze", "ALPHA", IV, "R", 10, "order 1") == "ACCESS-ROLE"
    assert held.refused("authority", "allowance", "freeze", "ALPHA", IV, "R", 10, "") == "UNITS-LEGAL-REFERENCE"
    held.by("authority", "allowance", "freeze", "ALPHA", IV, "R", 990, "order 1")
    assert holding(held, "ALPHA")[:5] == (10, 0, 990, 0, 0)
    assert held.refused("ALPHA", "allowance", "to_trading", IV, 11) == "UNITS-AVAILABLE"
    assert held.refused("authority", "allowance", "unfreeze", "ALPHA", IV, "R", 991, "order 2") == "UNITS-FROZEN"
    held.by("authority", "allowance", "unfreeze", "ALPHA", IV, "R", 990, "order 2")
    assert holding(held, "ALPHA")[:5] == (1_000, 0, 0, 0, 0)


def test_other_contracts_only_settle(held: LocalMarket) -> None:
    for method, args in (
        ("reserve", ("ALPHA", IV, 1, 0)),
        ("release", ("ALPHA", IV, 1)),
        ("settle", ("B", IV, "ALPHA", 1, ("BRAVO", "BRAVO", 1, 1), 1)),
        ("deliver", (IV, "ALPHA", "BRAVO", 1, 1)),
        ("lock_surrender", ("ALPHA", IV, 1)),
        ("end_surrender", ("ALPHA", IV, 1, True)),
    ):
        for name in ("ALPHA", "authority", "exchange", "registry"):
            assert held.refused(name, "allowance", method, *args) == "ACCESS-CALLER"


def test_benchmark_allocation_end_to_end(local_market: LocalMarket) -> None:
    local_market.member("ST-1", kind="emitter")
    local_market.by("ST-1", "emissions", "file_plan", 2024, document("p"))
    local_market.by("authority", "emissions", "approve_plan", "ST-1", 2024)
    assert local_market.refused("authority", "allowance", "allocate", "ST-1", 2024) == "ALLOC-NOT-VERIFIED"
    units = ("Bayswater", "I", 15_545_800_000, 0, -1, 13_705_014_000)
    local_market.by("ST-1", "emissions", "report", 2024, 13_705_014, 20_951, document("e"), units)
    local_market.by("verifier", "emissions", "verify", "ST-1", 2024, 13_705_014, "reasonable", document("s"))
    assert local_market.refused("exchange", "allowance", "allocate", "ST-1", 2024) == "ACCESS-ROLE"
    expected = 15_545_800 * 8797 // 10_000
    assert local_market.by("authority", "allowance", "allocate", "ST-1", 2024) == expected
    assert local_market.refused("authority", "allowance", "allocate", "ST-1", 2024) == "ALLOC-REPEATED"
    assert holding(local_market, "ST-1")[0] == expected
    found = local_market.ask("ST-1", "allowance", "allocation_of", "ST-1", 2024)
    assert isinstance(found, tuple)
    assert found[:2] == (expected, "demo-nger")
    record = local_market.ask("ST-1", "voucher", "record", found[2])
    assert isinstance(record, tuple)
    assert (record[1], record[4], record[5], record[8]) == ("I", IV, expected, "ST-1")


def test_who_has_no_reporting_account_gets_no_allocation(local_market: LocalMarket) -> None:
    local_market.member("ALPHA")
    assert local_market.refused("authority", "allowance", "allocate", "ALPHA", 2024) == "ALLOC-NO-REPORTING-ACCOUNT"


def test_an_issue_is_certified_with_holder_quantity_serials_and_time(held: LocalMarket) -> None:
    now, height = held.market_time_ms, held.height
    code = held.by("authority", "allowance", "issue", "BRAVO", IV, 500, "decision 7", False)
    (issued,) = [event.fields for event in held.seen_by("BRAVO") if event.name == "UnitsIssued" and event.fields["voucher"] == code]
    assert (issued["quantity_t"], issued["serials"], issued["basis"]) == (500, "CN-CEA-2024-42-000000003001-000000003500", "decision 7")
    assert held.ask("BRAVO", "allowance", "unit", IV, 3_500) == (1_001, 3_500, "BRAVO", "R")
    record = held.ask("BRAVO", "voucher", "record", code)
    assert isinstance(record, tuple)
    assert record[1:6] == ("I", now, height, IV, 500)
    assert (record[8], record[9], record[10]) == ("BRAVO", "decision 7", "valid")
    assert held.view("voucher", "check", code) == "valid"


def test_uncovered_emitter_gets_nothing(local_market: LocalMarket) -> None:
    local_market.member("ST-1", kind="emitter")
    local_market.by("ST-1", "emissions", "file_plan", 2024, document("p"))
    local_market.by("authority", "emissions", "approve_plan", "ST-1", 2024)
    local_market.by("ST-1", "emissions", "report", 2024, 25_999, 0, document("e"), ("U", "IV", 10, 0, -1, 0))
    local_market.by("verifier", "emissions", "verify", "ST-1", 2024, 25_999, "reasonable", document("s"))
    assert local_market.refused("authority", "allowance", "allocate", "ST-1", 2024) == "ALLOC-NOT-COVERED"


def test_audit_pages_add_up(held: LocalMarket) -> None:
    held.by("ALPHA", "allowance", "to_trading", IV, 300)
    total, after = 0, ""
    while True:
        page = held.ask("authority", "allowance", "audit", IV, after, 1, "R")
        assert isinstance(page, tuple)
        after, total = page[0], total + page[1]
        if after == "":
            break
    assert total == 2_700
    with pytest.raises(LocalRefusal, match="ACCESS-READ"):
        held.ask("ALPHA", "allowance", "audit", IV, "", 10, "R")


@pytest.mark.parametrize("args", [("ce1", "n", "CN", 42), ("CEAA", "n", "CN", 42), ("cea", "n", "CN", 42), ("CEA", "n", "CN", 42)])
def test_instrument_codes(local_market: LocalMarket, args: tuple[str, str, str, int]) -> None:
    expected = "UNITS-INSTRUMENT-EXISTS" if args[0] == "CEA" else "UNITS-INSTRUMENT-CODE"
    assert local_market.refused("registry", "allowance", "create_instrument", *args) == expected
