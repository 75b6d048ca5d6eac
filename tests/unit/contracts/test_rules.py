import datetime as dt

import pytest

from carbonnode.local.chain import LocalRefusal
from carbonnode.local.market import LocalMarket
from carbonnode.local.ruleset import load


def test_parameters_and_sources_are_on_the_chain(local_market: LocalMarket) -> None:
    assert local_market.view("rules", "active") == "demo-nger"
    assert local_market.view("rules", "number", "", "listing_limit_bp") == 1000
    assert local_market.view("rules", "number", "demo-nger", "be_III_e4") == 12109
    assert "Order 775" in str(local_market.view("rules", "legal_source", "demo-nger", "penalty_min_multiple"))
    assert str(local_market.view("rules", "legal_source", "demo-nger", "disclosure_t")).endswith("(verify)")
    assert local_market.view("rules", "set_for_year", 2024) == "demo-nger"


def test_missing_parameter_is_refused(local_market: LocalMarket) -> None:
    with pytest.raises(LocalRefusal, match="RULES-NO-PARAMETER"):
        local_market.view("rules", "number", "", "no_such_number")


def test_only_genesis_loads_rules(local_market: LocalMarket) -> None:
    for method, args in (("load_set", ("x", "t", "s", 1, 2, 0)), ("load_numbers", ("demo-nger", ("t_plus", 0, "s"))), ("configure", (True, 1))):
        assert local_market.refusal("rules", method, *args) == "ACCESS-GENESIS"
        assert local_market.refused("authority", "rules", method, *args) == "ACCESS-GENESIS"


def test_dated_sets_follow_the_clock() -> None:
    sets = [load(f"cn-national-{year}") for year in (2023, 2024, 2025, 2026)]
    chain = LocalMarket(sets[0], also=sets[1:])
    for one in sets:
        chain.time_ms = one.from_ms
        assert chain.view("rules", "active") == one.id
        chain.time_ms = one.to_ms - 1
        assert chain.view("rules", "active") == one.id
    chain.time_ms = sets[-1].to_ms
    with pytest.raises(LocalRefusal, match="RULES-NO-ACTIVE-SET"):
        chain.view("rules", "active")
    assert chain.view("rules", "set_for_year", 2025) == "cn-national-2025"


def test_clock_moves_forward_only_and_by_an_authority(local_market: LocalMarket) -> None:
    now = local_market.market_time_ms
    local_market.by("authority", "rules", "advance_clock", now + 5_000)
    assert local_market.market_time_ms == now + 5_000
    assert local_market.refused("authority", "rules", "advance_clock", now + 5_000) == "CLOCK-BACKWARD"
    assert local_market.refused("authority", "rules", "advance_clock", now) == "CLOCK-BACKWARD"
    assert local_market.refused("exchange", "rules", "advance_clock", now + 9_000) == "ACCESS-ROLE"
    assert local_market.view("rules", "clock") == (now + 5_000, 5_000)


def test_clock_advances_once_a_block(local_market: LocalMarket) -> None:
    """A second advance in the same block would see the first one's time and count it twice."""
    now = local_market.market_time_ms
    local_market.by("authority", "rules", "advance_clock", now + 5_000)
    local_market.height -= 1
    assert local_market.refused("authority", "rules", "advance_clock", now + 6_000) == "CLOCK-ONCE-A-BLOCK"


def test_clock_stands_on_a_real_network() -> None:
    market = LocalMarket(load("demo-nger"), test_clock=False)
    assert market.refused("authority", "rules", "advance_clock", market.time_ms + 1) == "CLOCK-NOT-A-TEST-NETWORK"


def test_genesis_may_set_the_test_clock_back() -> None:
    rules = load("demo-nger")
    start = rules.from_ms + 1_000
    chain = LocalMarket(rules, at_ms=rules.from_ms + 50_000_000, market_time_ms=start)
    assert chain.market_time_ms == start


def test_proposal_takes_effect_at_an_epoch(local_market: LocalMarket) -> None:
    proposal = local_market.by("authority", "rules", "propose", "number", "demo-nger", "listing_limit_bp", 500, "calmer market")
    assert local_market.by("authority", "rules", "vote", proposal, True) == "open"
    assert local_market.refused("authority", "rules", "vote", proposal, True) == "GOVERN-VOTED"
    assert local_market.by("exchange", "rules", "vote", proposal, True) == "open"
    assert local_market.by("registry", "rules", "vote", proposal, True) == "open"
    # More than two thirds of five members: the fourth vote decides.
    assert local_market.by("cash", "rules", "vote", proposal, True) == "adopted"
    found = local_market.view("rules", "proposal", proposal)
    assert isinstance(found, tuple)
    effective = found[9]
    assert effective % 10 == 0
    assert effective > local_market.height
    assert local_market.refused("verifier", "rules", "vote", proposal, True) == "GOVERN-DECIDED"
    local_market.height = effective - 1
    assert local_market.view("rules", "number", "", "listing_limit_bp") == 1000
    local_market.height = effective
    assert local_market.view("rules", "number", "", "listing_limit_bp") == 500


def test_proposal_is_rejected_by_a_third(local_market: LocalMarket) -> None:
    proposal = local_market.by("authority", "rules", "propose", "chain", "", "block_interval_ms", 100, "")
    assert local_market.by("exchange", "rules", "vote", proposal, False) == "open"
    assert local_market.by("registry", "rules", "vote", proposal, False) == "rejected"


def test_next_order_is_judged_by_the_changed_rule(trading: LocalMarket) -> None:
    proposal = trading.by("authority", "rules", "propose", "number", "demo-nger", "listing_limit_bp", 500, "")
    for member in ("authority", "exchange", "registry", "cash"):
        trading.by(member, "rules", "vote", proposal, True)
    found = trading.view("rules", "proposal", proposal)
    assert isinstance(found, tuple)
    wide = 6196 * 108 // 100
    trading.by("ALPHA", "matching", "place", "CEA-2024", "S", wide, 1, "")
    trading.height = found[9]
    assert trading.refused("ALPHA", "matching", "place", "CEA-2024", "S", wide, 1, "") == "TRADE-PRICE-LIMIT"
    trading.by("ALPHA", "matching", "place", "CEA-2024", "S", 6196 * 104 // 100, 1, "")


def test_outsiders_dont_govern(trading: LocalMarket) -> None:
    assert trading.refused("ALPHA", "rules", "propose", "number", "demo-nger", "t_plus", 0, "") == "ACCESS-ROLE"
    assert trading.refused("nobody", "rules", "propose", "number", "demo-nger", "t_plus", 0, "") == "ACCESS-UNKNOWN-KEY"


@pytest.mark.parametrize("date", [(1970, 1, 1), (2000, 2, 29), (2024, 2, 29), (2025, 11, 19), (2025, 12, 31), (2100, 3, 1), (2399, 12, 31)])
def test_calendar_arithmetic(local_market: LocalMarket, date: tuple[int, int, int]) -> None:
    days = dt.date(*date).toordinal() - dt.date(1970, 1, 1).toordinal()
    assert local_market.view("rules", "day_of", *date) == days
    assert local_market.view("rules", "date_of", days) == date


def test_trading_calendar(local_market: LocalMarket) -> None:
    saturday = 20411 + 3  # 2025-11-19 is a Wednesday
    assert [local_market.view("rules", "is_trading_day", day) for day in range(20411, 20416)] == [True, True, True, False, False]
    assert local_market.view("rules", "is_trading_day", saturday) is False
    local_market.by("authority", "rules", "close_day", 20411)
    assert local_market.view("rules", "is_trading_day", 20411) is False
    local_market.by("authority", "rules", "reopen_day", 20411)
    assert local_market.view("rules", "is_trading_day", 20411) is True
