"""The life of allowances in one piece: allocated, traded, settled, surrendered, cancelled, with all totals tying out; and two families of instruments."""

from carbonnode.local.market import LocalMarket, document

IV = "CEA-2024"
DAY = 20411


def totals(market: LocalMarket, iv: str = IV) -> dict[str, int]:
    found = market.view("allowance", "totals", iv)
    assert isinstance(found, tuple)
    return dict(zip(("cap", "issued", "registry", "trading", "surrendered", "cancelled", "reserve"), found, strict=True))


def held(market: LocalMarket, name: str) -> tuple[int, int]:
    """Tonnes in the registry and in trading, in all buckets."""
    found = market.ask(name, "allowance", "holding", name, IV)
    assert isinstance(found, tuple)
    return sum(found[:5]), sum(found[5:10])


def ties_out(market: LocalMarket, *names: str) -> None:
    sums = totals(market)
    assert sums["issued"] == sums["registry"] + sums["trading"] + sums["surrendered"] + sums["cancelled"]
    places = [held(market, name) for name in names]
    assert (sum(place[0] for place in places), sum(place[1] for place in places)) == (sums["registry"], sums["trading"])
    assert market.view("allowance", "conserved") is True
    assert market.view("cash", "conserved") is True


def emitter(market: LocalMarket, name: str, power_mwh: int, verified_t: int) -> int:
    """Plan, report, statement, allocation; what was allocated."""
    market.member(name, kind="emitter")
    market.by(name, "emissions", "file_plan", 2024, document("plan"))
    market.by("authority", "emissions", "approve_plan", name, 2024)
    market.by(name, "emissions", "report", 2024, verified_t, 0, document("e"), ("U", "I", power_mwh * 1000, 0, -1, verified_t * 1000))
    market.by("verifier", "emissions", "verify", name, 2024, verified_t, "reasonable", document("s"))
    allocated = market.by("authority", "allowance", "allocate", name, 2024)
    assert isinstance(allocated, int)
    return allocated


def test_from_allocation_to_cancellation_all_totals_tie_out(local_market: LocalMarket) -> None:
    market = local_market
    long_t = emitter(market, "LONG", 100_000, 80_000)
    short_t = emitter(market, "SHORT", 100_000, 90_000)
    assert (long_t, short_t) == (87_970, 87_970)
    ties_out(market, "LONG", "SHORT")
    market.fund("SHORT", cash_fen=10**9)
    missing = 90_000 - short_t
    market.by("LONG", "allowance", "to_trading", IV, 5_000)
    ties_out(market, "LONG", "SHORT")
    market.open_market(DAY)
    market.by("LONG", "matching", "place", IV, "S", 6200, missing, "")
    market.by("SHORT", "matching", "place", IV, "B", 6200, missing, "")
    market.close_market()
    ties_out(market, "LONG", "SHORT")
    assert market.ask("LONG", "cash", "balance", "LONG") == (missing * 6200, 0, 0)
    market.by("SHORT", "allowance", "to_registry", IV, missing)
    for name, owed in (("LONG", 80_000), ("SHORT", 90_000)):
        number = market.by(name, "compliance", "submit", 2024, IV, owed)
        market.by("authority", "compliance", "review", number, True, "")
        assert market.ask(name, "compliance", "status", name, 2024) == "A"
        ties_out(market, "LONG", "SHORT")
    market.by("LONG", "allowance", "cancel", IV, 1_000, "for the climate")
    ties_out(market, "LONG", "SHORT")
    assert totals(market) == {
        "cap": 10**11, "issued": 175_940, "registry": 1_970, "trading": 2_970, "surrendered": 170_000, "cancelled": 1_000, "reserve": 0
    }  # fmt: skip
    assert (held(market, "LONG"), held(market, "SHORT")) == ((1_970, 2_970), (0, 0))


def test_allowances_and_reductions_are_listed_side_by_side(local_market: LocalMarket) -> None:
    """Two instruments have books of their own; what isn't held of one can't be listed there, whatever is held of the other."""
    market, reductions = local_market, "CER-2024"
    market.by("registry", "allowance", "create_instrument", "CER", "certified reduction", "CN", 42)
    market.by("authority", "allowance", "open_vintage", "CER", 2024, 10_000, 0)
    market.by("exchange", "matching", "open_book", reductions, 5_000)
    for name in ("ALPHA", "BRAVO"):
        market.member(name)
        market.fund(name, cash_fen=10**9)
    market.fund("ALPHA", iv=IV, units_t=100)
    market.fund("ALPHA", iv=reductions, units_t=40)
    market.open_market(DAY)
    assert market.refused("ALPHA", "matching", "place", reductions, "S", 5_000, 41, "") == "UNITS-AVAILABLE"
    market.by("ALPHA", "matching", "place", reductions, "S", 5_000, 40, "")
    market.by("ALPHA", "matching", "place", IV, "S", 6_200, 100, "")
    assert market.view("matching", "depth", reductions, 5) == ("S", 5_000, 40)
    assert market.view("matching", "depth", IV, 5) == ("S", 6_200, 100)
    market.by("BRAVO", "matching", "place", reductions, "B", 5_000, 15, "")
    assert market.view("matching", "depth", reductions, 5) == ("S", 5_000, 25)
    assert market.view("matching", "depth", IV, 5) == ("S", 6_200, 100)
    market.close_market()
    bought = market.ask("BRAVO", "allowance", "holding", "BRAVO", reductions)
    assert isinstance(bought, tuple)
    assert sum(bought[5:10]) == 15
