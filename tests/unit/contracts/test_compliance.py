import pytest

from carbonnode.local.chain import LocalRefusal
from carbonnode.local.market import LocalMarket, document

IV = "CEA-2024"
DEADLINE_DAY = 20453  # 2025-12-31


def obligation(market: LocalMarket, name: str) -> tuple[object, ...]:
    found = market.ask(name, "compliance", "obligation", name, 2024)
    assert isinstance(found, tuple)
    return found


@pytest.fixture
def owing(local_market: LocalMarket) -> LocalMarket:
    """ST-1 owes 30,000 t and holds 40,000 t; ST-2 owes 50,000 t and holds 20,000 t; both in the registry, with money."""
    for name, verified, held in (("ST-1", 30_000, 40_000), ("ST-2", 50_000, 20_000)):
        local_market.member(name, kind="emitter")
        local_market.by(name, "emissions", "file_plan", 2024, document("p"))
        local_market.by("authority", "emissions", "approve_plan", name, 2024)
        local_market.by(name, "emissions", "report", 2024, verified, 0, document("e"), ("U", "I", 1, 0, -1, 0))
        local_market.by("verifier", "emissions", "verify", name, 2024, verified, "reasonable", document("s"))
        local_market.by("authority", "allowance", "issue", name, IV, held, "opening", False)
        local_market.fund(name, cash_fen=10**11)
    local_market.at_local(20411, 600)
    return local_market


def surrender(market: LocalMarket, name: str, quantity: int) -> object:
    number = market.by(name, "compliance", "submit", 2024, IV, quantity)
    return market.by("authority", "compliance", "review", number, True, "")


def test_surrender_takes_units_out_for_good(owing: LocalMarket) -> None:
    number = owing.by("ST-1", "compliance", "submit", 2024, IV, 30_000)
    held = owing.ask("ST-1", "allowance", "holding", "ST-1", IV)
    assert isinstance(held, tuple)
    assert held[:5] == (10_000, 0, 0, 0, 30_000)
    assert owing.refused("ST-1", "compliance", "review", number, True, "") == "ACCESS-ROLE"
    assert owing.refused("registry", "compliance", "review", number, True, "") == "ACCESS-ROLE"
    code = str(owing.by("authority", "compliance", "review", number, True, ""))
    assert (code[:6], code[1]) == ("1SCNHB", "S")
    assert obligation(owing, "ST-1")[:6] == (30_000, 30_000, 30_000, 0, "A", 0)
    assert owing.view("allowance", "totals", IV) == (10**11, 60_000, 30_000, 0, 30_000, 0, 0)
    assert owing.ask("ST-1", "allowance", "blocks", "ST-1", IV, "S", 0, 9) == (1, 30_000)
    assert owing.refused("ST-1", "allowance", "to_trading", IV, 10_001) == "UNITS-AVAILABLE"
    assert owing.refused("authority", "compliance", "review", number, True, "") == "SURRENDER-DECIDED"
    assert owing.view("allowance", "conserved") is True


def test_pending_units_are_set_aside_and_given_back(owing: LocalMarket) -> None:
    first = owing.by("ST-1", "compliance", "submit", 2024, IV, 10_000)
    second = owing.by("ST-1", "compliance", "submit", 2024, IV, 20_000)
    assert owing.refused("ST-1", "allowance", "cancel", IV, 10_001, "x") == "UNITS-AVAILABLE"
    assert owing.refused("authority", "compliance", "review", first, False, "") == "SURRENDER-REASON"
    owing.by("authority", "compliance", "review", first, False, "wrong vintage")
    assert owing.refused("ST-2", "compliance", "withdraw", second) == "ACCESS-ENTITY"
    owing.by("ST-1", "compliance", "withdraw", second)
    held = owing.ask("ST-1", "allowance", "holding", "ST-1", IV)
    assert isinstance(held, tuple)
    assert held[:5] == (40_000, 0, 0, 0, 0)
    assert obligation(owing, "ST-1")[3] == 0


def test_pre_examination_bars_approval(owing: LocalMarket) -> None:
    number = owing.by("ST-1", "compliance", "submit", 2024, IV, 30_001)
    application = owing.ask("ST-1", "compliance", "application", number)
    assert isinstance(application, tuple)
    assert application[4:6] == ("submitted", "SURRENDER-EXCESS")
    assert owing.refused("authority", "compliance", "review", number, True, "") == "SURRENDER-EXCESS"
    owing.by("authority", "compliance", "review", number, False, "too much")


def test_no_borrowing_from_later_vintages(owing: LocalMarket) -> None:
    owing.vintage(2025)
    owing.by("authority", "allowance", "issue", "ST-1", "CEA-2025", 1_000, "x", False)
    number = owing.by("ST-1", "compliance", "submit", 2024, "CEA-2025", 1_000)
    assert owing.refused("authority", "compliance", "review", number, True, "") == "SURRENDER-VINTAGE"


def test_only_registry_holdings_are_surrendered(owing: LocalMarket) -> None:
    owing.by("ST-1", "allowance", "to_trading", IV, 40_000)
    assert owing.refused("ST-1", "compliance", "submit", 2024, IV, 1) == "UNITS-AVAILABLE"


def test_who_owes_nothing_surrenders_nothing(owing: LocalMarket) -> None:
    owing.member("ALPHA")
    assert owing.refused("ALPHA", "compliance", "submit", 2024, IV, 1) == "SURRENDER-NO-OBLIGATION"


def test_deadline_is_the_end_of_the_day(owing: LocalMarket) -> None:
    surrender(owing, "ST-1", 30_000)
    owing.at_local(DEADLINE_DAY, 24 * 60)
    owing.time_ms -= 1
    assert owing.refused("authority", "compliance", "assess", "ST-1", 2024) == "COMPLIANCE-BEFORE-DEADLINE"
    owing.time_ms += 1
    assert owing.view("compliance", "deadline", 2024) == owing.market_time_ms
    assert owing.refused("exchange", "compliance", "assess", "ST-1", 2024) == "ACCESS-ROLE"
    assert owing.by("authority", "compliance", "assess", "ST-1", 2024) == "A"


def traded_month(market: LocalMarket) -> None:
    """2025-11-19: 100 t at 6,000 fen and 300 t at 6,200 fen: mean 6,150 fen."""
    for name in ("BUYER", "SELLER"):
        market.member(name)
        market.fund(name, cash_fen=10**9, iv=IV, units_t=1_000)
    market.open_market(20411)
    for price, quantity in ((6_000, 100), (6_200, 300)):
        market.by("SELLER", "matching", "place", IV, "S", price, quantity, "")
        market.by("BUYER", "matching", "place", IV, "B", price, quantity, "")
    market.close_market()


def test_shortfall_penalty_and_late_surrender(owing: LocalMarket) -> None:
    traded_month(owing)
    surrender(owing, "ST-2", 20_000)
    owing.at_local(DEADLINE_DAY + 1, 0)
    assert owing.by("authority", "compliance", "assess", "ST-2", 2024) == "B"
    assert owing.refused("authority", "compliance", "assess", "ST-2", 2024) == "COMPLIANCE-ASSESSED"
    assert obligation(owing, "ST-2") == (50_000, 50_000, 20_000, 0, "B", 30_000, 6_150, 5, 30_000 * 6_150 * 5, False, True)
    assert owing.ask("ST-2", "identity", "credit_total", "ST-2") == (1, 10)
    for multiple in (4, 11):
        assert owing.refused("authority", "compliance", "decide", "ST-2", 2024, multiple) == "PENALTY-MULTIPLE"
    assert owing.refused("ST-2", "compliance", "decide", "ST-2", 2024, 5) == "ACCESS-ROLE"
    assert owing.by("authority", "compliance", "decide", "ST-2", 2024, 10) == 30_000 * 6_150 * 10
    owing.by("ST-2", "compliance", "pay_penalty", 2024)
    assert owing.refused("ST-2", "compliance", "pay_penalty", 2024) == "PENALTY-PAID"
    assert owing.ask("ST-2", "cash", "balance", "ST-2") == (10**11 - 30_000 * 61_500, 0, 0)
    assert owing.view("cash", "conserved") is True
    # The debt stays, and a late surrender clears it.
    owing.by("authority", "allowance", "issue", "ST-2", IV, 30_000, "bought", False)
    surrender(owing, "ST-2", 30_000)
    assert obligation(owing, "ST-2")[4:6] == ("A", 0)


def test_no_verified_figure_is_status_c(owing: LocalMarket) -> None:
    owing.member("ST-3", kind="emitter")
    owing.at_local(DEADLINE_DAY + 1, 0)
    assert owing.by("authority", "compliance", "assess", "ST-3", 2024) == "C"
    owing.member("ALPHA")
    assert owing.refused("authority", "compliance", "assess", "ALPHA", 2024) == "COMPLIANCE-NO-EMITTER"


def test_correction_after_surrender_adjusts_by_the_difference(owing: LocalMarket) -> None:
    surrender(owing, "ST-1", 30_000)
    owing.by("verifier", "emissions", "verify", "ST-1", 2024, 31_000, "reasonable", document("more"))
    assert obligation(owing, "ST-1")[:6] == (31_000, 31_000, 30_000, 0, "O", 1_000)
    surrender(owing, "ST-1", 1_000)
    assert obligation(owing, "ST-1")[4] == "A"


def test_pending_applications_are_decided_first(owing: LocalMarket) -> None:
    owing.by("ST-1", "compliance", "submit", 2024, IV, 1_000)
    owing.at_local(DEADLINE_DAY + 1, 0)
    assert owing.refused("authority", "compliance", "assess", "ST-1", 2024) == "COMPLIANCE-APPLICATION-PENDING"


def test_excluded_by_decision(owing: LocalMarket) -> None:
    owing.by("authority", "compliance", "exclude", "ST-1", 2024, "plant demolished")
    assert owing.ask("ST-1", "compliance", "status", "ST-1", 2024) == "X"
    assert owing.refused("ST-1", "compliance", "submit", 2024, IV, 1) == "SURRENDER-NO-OBLIGATION"
    owing.at_local(DEADLINE_DAY + 1, 0)
    assert owing.by("authority", "compliance", "assess", "ST-1", 2024) == "X"


def test_second_shortfall_bars_from_trading(owing: LocalMarket) -> None:
    owing.by("authority", "identity", "record_credit", "ST-2", "shortfall", 10, "2023")
    traded_month(owing)
    owing.at_local(DEADLINE_DAY + 1, 0)
    owing.by("authority", "compliance", "assess", "ST-2", 2024)
    owing.open_market(DEADLINE_DAY + 2)
    assert owing.refused("ST-2", "matching", "place", IV, "B", 6_150, 1, "") == "TRADE-CREDIT"


def test_closing_waits_for_the_obligation(owing: LocalMarket) -> None:
    owing.by("ST-1", "allowance", "cancel", IV, 40_000, "x")
    request = owing.by("ST-1", "cash", "request_withdrawal", 10**11)
    owing.by("cash", "cash", "pay_out", request)
    assert owing.refused("authority", "identity", "close", "ST-1") == "CLOSE-OBLIGATION-REMAINS"


@pytest.mark.parametrize(
    ("holdings", "net_sales", "pending", "expected"),
    [(100_000, 20_000, 0, 40_000), (30_000, 20_000, 0, 30_000), (100_000, -5, 0, 10_000), (100_000, 1, 0, 10_001), (100_000, 60_000, 5_000, 95_000)],
)
def test_carry_over(local_market: LocalMarket, holdings: int, net_sales: int, pending: int, expected: int) -> None:
    assert local_market.view("compliance", "carry_over", "demo-nger", holdings, net_sales, pending) == expected


def test_penalty_formula(local_market: LocalMarket) -> None:
    assert local_market.view("compliance", "penalty", "demo-nger", 1_000, 6_150, 5) == 30_750_000
    with pytest.raises(LocalRefusal, match="PENALTY-MULTIPLE"):
        local_market.view("compliance", "penalty", "demo-nger", 1_000, 6_150, 4)


def test_other_contracts_only(owing: LocalMarket) -> None:
    assert owing.refused("authority", "compliance", "on_verified", "ST-1", 2024, 1, True) == "ACCESS-CALLER"
