from carbonnode.local.market import LocalMarket


def test_deposits_are_booked_once(local_market: LocalMarket) -> None:
    local_market.member("ALPHA")
    assert local_market.by("cash", "cash", "deposit", "ALPHA", 500, "bank 1") == 500
    assert local_market.refused("cash", "cash", "deposit", "ALPHA", 500, "bank 1") == "CASH-DEPOSIT-REPEATED"
    assert local_market.refused("cash", "cash", "deposit", "ALPHA", 0, "bank 2") == "CASH-AMOUNT"
    assert local_market.refused("cash", "cash", "deposit", "ALPHA", -1, "bank 2") == "CASH-AMOUNT"
    assert local_market.refused("cash", "cash", "deposit", "ALPHA", 1, "") == "CASH-REFERENCE"
    assert local_market.refused("registry", "cash", "deposit", "ALPHA", 1, "bank 2") == "ACCESS-ROLE"
    assert local_market.refused("cash", "cash", "deposit", "NOBODY", 1, "bank 2") == "IDENTITY-UNKNOWN"
    assert local_market.view("cash", "totals") == (500, 0, 500, 0)


def test_withdrawal_in_two_steps(local_market: LocalMarket) -> None:
    local_market.member("ALPHA")
    local_market.fund("ALPHA", cash_fen=1_000)
    first = local_market.by("ALPHA", "cash", "request_withdrawal", 300)
    second = local_market.by("ALPHA", "cash", "request_withdrawal", 700)
    assert local_market.refused("ALPHA", "cash", "request_withdrawal", 1) == "CASH-AVAILABLE"
    assert local_market.ask("ALPHA", "cash", "balance", "ALPHA") == (0, 0, 1_000)
    assert local_market.refused("ALPHA", "cash", "pay_out", first) == "ACCESS-ROLE"
    local_market.by("cash", "cash", "pay_out", first)
    assert local_market.refused("cash", "cash", "pay_out", first) == "CASH-REQUEST-DONE"
    local_market.by("cash", "cash", "refuse_withdrawal", second, "account closed")
    assert local_market.ask("ALPHA", "cash", "balance", "ALPHA") == (700, 0, 0)
    assert local_market.view("cash", "totals") == (1_000, 300, 700, 0)
    assert local_market.view("cash", "conserved") is True
    assert local_market.refused("cash", "cash", "pay_out", 99) == "CASH-NO-REQUEST"


def test_other_contracts_only_settle(local_market: LocalMarket) -> None:
    local_market.member("ALPHA")
    for method, args in (
        ("reserve", ("ALPHA", 1)),
        ("release", ("ALPHA", 1)),
        ("settle", ("B", "ALPHA", 1, 1, ())),
        ("charge_penalty", ("ALPHA", 1)),
    ):
        for name in ("ALPHA", "cash", "authority", "exchange"):
            assert local_market.refused(name, "cash", method, *args) == "ACCESS-CALLER"


def test_audit_adds_up(local_market: LocalMarket) -> None:
    for n, name in enumerate(("A", "B", "C"), 1):
        local_market.member(name)
        local_market.fund(name, cash_fen=100 * n)
    first = local_market.ask("authority", "cash", "audit", "", 2)
    assert first == ("B", 300)
    assert local_market.ask("authority", "cash", "audit", "B", 2) == ("", 300)
