import pytest

from carbonnode.local.chain import LocalRefusal, key_of
from carbonnode.local.market import LocalMarket, document

DOCUMENTS = tuple(document(f"paper {n}") for n in range(6))
APPLICATION = ("ST-001", "ORIGIN", "Darling Downs", "emitter", "D4411", 3, DOCUMENTS)


def test_account_numbers_of_the_published_layout(local_market: LocalMarket) -> None:
    assert local_market.view("identity", "account_number", "UK", 100, 900000025) == "UK-100-900000025-2-60"
    assert local_market.view("identity", "account_number", "UK", 100, 900000930) == "UK-100-900000930-2-94"


def test_registration_is_reviewed(local_market: LocalMarket) -> None:
    local_market.by("ST-001", "identity", "apply", *APPLICATION)
    assert local_market.view("identity", "status_of", "ST-001") == "applied"
    assert local_market.refused("ST-001", "allowance", "to_trading", "CEA-2024", 1) == "ACCESS-SUSPENDED"
    assert local_market.refused("ST-001", "identity", "approve", "ST-001", document("x")) == "ACCESS-ROLE"
    assert local_market.refused("verifier", "identity", "approve", "ST-001", document("x")) == "ACCESS-ROLE"
    number = local_market.by("authority", "identity", "approve", "ST-001", document("opinion"))
    assert number == "CN-100-900000001-2-" + str(number)[-2:]
    assert local_market.view("identity", "account_exists", number) is True
    assert local_market.refused("authority", "identity", "approve", "ST-001", document("x")) == "IDENTITY-NOT-APPLIED"
    found = local_market.ask("ST-001", "identity", "profile", "ST-001")
    assert isinstance(found, tuple)
    assert found[:8] == ("ORIGIN", "Darling Downs", "emitter", "active", "D4411", 3, 0, 0)
    assert [str(part)[:6] for part in found[8:11]] == ["CN-100", "CN-120", "CN-130"]
    assert local_market.ask("ST-001", "identity", "document_hashes", "ST-001") == DOCUMENTS
    assert [event.name for event in local_market.seen_by("ORIGIN")] == ["RegistrationApplied", "Registered"]


def test_an_institution_has_no_reporting_account(local_market: LocalMarket) -> None:
    local_market.member("ALPHA")
    found = local_market.ask("ALPHA", "identity", "profile", "ALPHA")
    assert isinstance(found, tuple)
    assert found[10] == ""


def test_rejected_application(local_market: LocalMarket) -> None:
    local_market.by("ST-001", "identity", "apply", *APPLICATION)
    local_market.by("authority", "identity", "reject", "ST-001", "licence expired")
    assert local_market.view("identity", "status_of", "ST-001") == "rejected"
    assert local_market.refused("authority", "identity", "approve", "ST-001", document("x")) == "IDENTITY-NOT-APPLIED"


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({0: "st-001"}, "IDENTITY-ID"),
        ({0: ""}, "IDENTITY-ID"),
        ({0: "X" * 49}, "IDENTITY-ID"),
        ({1: "AUTHORITY-1"}, "IDENTITY-ORGANISATION"),
        ({2: ""}, "IDENTITY-NAME"),
        ({3: "king"}, "IDENTITY-KIND"),
        ({4: ""}, "IDENTITY-INDUSTRY"),
        ({5: 0}, "IDENTITY-REGION"),
        ({6: DOCUMENTS[:5]}, "IDENTITY-DOCUMENTS"),
        ({6: (*DOCUMENTS[:5], b"short")}, "IDENTITY-DOCUMENTS"),
    ],
)
def test_incomplete_applications(local_market: LocalMarket, change: dict[int, object], code: str) -> None:
    args = [change.get(i, value) for i, value in enumerate(APPLICATION)]
    assert local_market.refused("ST-001", "identity", "apply", *args) == code  # type: ignore[arg-type]


def test_ids_and_keys_are_unique(local_market: LocalMarket) -> None:
    local_market.by("ST-001", "identity", "apply", *APPLICATION)
    assert local_market.refused("other", "identity", "apply", *APPLICATION) == "IDENTITY-EXISTS"
    assert local_market.refused("ST-001", "identity", "apply", "ST-002", *APPLICATION[1:]) == "IDENTITY-KEY-USED"
    assert local_market.refused("authority", "identity", "apply", "ST-002", *APPLICATION[1:]) == "IDENTITY-KEY-USED"


def test_representatives_rights_and_dates(trading: LocalMarket) -> None:
    clerk, reader = key_of("clerk"), key_of("reader")
    trading.by("ALPHA", "identity", "add_key", clerk, 3, trading.market_time_ms + 1_000)
    trading.by("ALPHA", "identity", "add_key", reader, 1, trading.market_time_ms + 10**9)
    trading.by("clerk", "matching", "place", "CEA-2024", "S", 6196, 1, "")
    assert trading.refused("clerk", "identity", "add_key", key_of("third"), 1, trading.market_time_ms + 9) == "ACCESS-RIGHT"
    assert trading.refused("reader", "matching", "place", "CEA-2024", "S", 6196, 1, "") == "ACCESS-RIGHT"
    trading.ask("reader", "cash", "balance", "ALPHA")
    trading.time_ms += 1_000
    assert trading.refused("clerk", "matching", "place", "CEA-2024", "S", 6196, 1, "") == "ACCESS-KEY-EXPIRED"
    trading.by("ALPHA", "identity", "revoke_key", reader)
    with pytest.raises(LocalRefusal, match="ACCESS-READ"):
        trading.ask("reader", "cash", "balance", "ALPHA")
    assert trading.refused("BRAVO", "identity", "revoke_key", key_of("ALPHA")) == "ACCESS-ROLE"


@pytest.mark.parametrize("rights", range(1, 8))
def test_rights_hold_one_by_one(trading: LocalMarket, rights: int) -> None:
    """Read (1), initiate (2), approve (4): a representative can do what its bits say, and nothing else."""
    clerk = key_of("clerk")
    trading.by("ALPHA", "identity", "add_key", clerk, rights, trading.market_time_ms + 10**9)
    if rights & 1:
        assert trading.ask("clerk", "cash", "balance", "ALPHA") == (10_000_000_000, 0, 0)
    else:
        with pytest.raises(LocalRefusal, match="ACCESS-READ"):
            trading.ask("clerk", "cash", "balance", "ALPHA")
    for bit, contract, method, args in (
        (2, "matching", "place", ("CEA-2024", "S", 6196, 1, "")),
        (4, "identity", "add_key", (key_of("third"), 1, trading.market_time_ms + 9)),
    ):
        if rights & bit:
            trading.by("clerk", contract, method, *args)
        else:
            assert trading.refused("clerk", contract, method, *args) == "ACCESS-RIGHT"


def test_a_rotated_key_keeps_the_holdings_and_every_state_is_told(local_market: LocalMarket) -> None:
    local_market.member("ALPHA")
    local_market.fund("ALPHA", iv="CEA-2024", units_t=5)
    before = local_market.ask("ALPHA", "allowance", "holding", "ALPHA", "CEA-2024")
    local_market.by("ALPHA", "identity", "add_key", key_of("next"), 7, local_market.market_time_ms + 10**9)
    local_market.by("next", "identity", "revoke_key", key_of("ALPHA"))
    assert local_market.refused("ALPHA", "allowance", "to_registry", "CEA-2024", 5) == "ACCESS-KEY-EXPIRED"
    assert local_market.ask("next", "allowance", "holding", "ALPHA", "CEA-2024") == before
    local_market.by("authority", "identity", "freeze", "ALPHA", "court order 7")
    assert local_market.refused("next", "allowance", "to_registry", "CEA-2024", 5) == "ACCESS-SUSPENDED"
    local_market.by("authority", "identity", "unfreeze", "ALPHA", "lifted")
    local_market.by("next", "allowance", "to_registry", "CEA-2024", 5)
    local_market.by("next", "allowance", "cancel", "CEA-2024", 5, "leaving")
    local_market.by("authority", "identity", "close", "ALPHA")
    told = [(event.fields["status"], event.fields["reason"]) for event in local_market.seen_by("ALPHA") if event.name == "StatusChanged"]
    assert told == [("frozen", "court order 7"), ("active", "lifted"), ("closed", "closed")]
    names = [event.name for event in local_market.seen_by("ALPHA")]
    assert [name for name in names if name.startswith(("Registered", "Key"))] == ["Registered", "KeyAdded", "KeyRevoked"]


def test_private_data_is_denied_by_default(trading: LocalMarket) -> None:
    for contract, view, args in (
        ("identity", "profile", ("ALPHA",)),
        ("cash", "balance", ("ALPHA",)),
        ("allowance", "holding", ("ALPHA", "CEA-2024")),
        ("allowance", "holdings", ("ALPHA",)),
        ("compliance", "obligation", ("ALPHA", 2024)),
        ("cash", "audit", ("", 10)),
    ):
        for stranger in (bytes(32), key_of("BRAVO"), key_of("nobody")):
            with pytest.raises(LocalRefusal, match="ACCESS-READ"):
                trading.view(contract, view, *args, sender=stranger)
    for reader in ("ALPHA", "authority", "verifier", "exchange", "registry", "cash"):
        trading.ask(reader, "cash", "balance", "ALPHA")


def test_one_organisation_reads_its_entities(local_market: LocalMarket) -> None:
    local_market.member("ST-1", org="ORIGIN")
    local_market.member("ST-2", org="ORIGIN")
    local_market.member("ST-3", org="OTHER")
    local_market.ask("ST-1", "cash", "balance", "ST-2")
    with pytest.raises(LocalRefusal, match="ACCESS-READ"):
        local_market.ask("ST-3", "cash", "balance", "ST-2")


def test_an_applicant_reads_nobody_elses_data(local_market: LocalMarket) -> None:
    """Naming an organisation in an application gives no right before the authority has approved it."""
    local_market.member("ST-2", org="ORIGIN")
    local_market.by("SPY", "identity", "apply", "SPY", *APPLICATION[1:])
    with pytest.raises(LocalRefusal, match="ACCESS-READ"):
        local_market.ask("SPY", "cash", "balance", "ST-2")


def test_frozen_entity_can_do_nothing(trading: LocalMarket) -> None:
    trading.by("authority", "identity", "freeze", "ALPHA", "court order 7")
    assert trading.refused("ALPHA", "matching", "place", "CEA-2024", "S", 6196, 1, "") == "TRADE-ACCOUNT-NOT-ACTIVE"
    assert trading.refused("ALPHA", "allowance", "to_registry", "CEA-2024", 1) == "ACCESS-SUSPENDED"
    trading.by("authority", "identity", "unfreeze", "ALPHA", "lifted")
    trading.by("ALPHA", "matching", "place", "CEA-2024", "S", 6196, 1, "")


@pytest.mark.parametrize("bars", range(4))
def test_bars_are_by_side(trading: LocalMarket, bars: int) -> None:
    """1 bars from buying, 2 from selling, 3 from both, 0 lifts the bar."""
    trading.by("exchange", "identity", "bar", "ALPHA", 3, "a question is open")
    trading.by("exchange", "identity", "bar", "ALPHA", bars, "answered")
    for bit, side in ((1, "B"), (2, "S")):
        order = ("CEA-2024", side, 6196, 1, "")
        if bars & bit:
            assert trading.refused("ALPHA", "matching", "place", *order) == "TRADE-ACCOUNT-BARRED"
        else:
            trading.by("ALPHA", "matching", "place", *order)


def test_credit_record_bars_from_trading(trading: LocalMarket) -> None:
    trading.by("authority", "identity", "record_credit", "ALPHA", "false report", 15, "case 1")
    trading.by("ALPHA", "matching", "place", "CEA-2024", "S", 6196, 1, "")
    trading.by("authority", "identity", "record_credit", "ALPHA", "false report", 5, "case 2")
    assert trading.refused("ALPHA", "matching", "place", "CEA-2024", "S", 6196, 1, "") == "TRADE-CREDIT"
    assert trading.ask("ALPHA", "identity", "credit_total", "ALPHA") == (2, 20)
    trading.by("authority", "identity", "record_credit", "ALPHA", "corrected", -15, "case 1 withdrawn")
    trading.by("ALPHA", "matching", "place", "CEA-2024", "S", 6196, 1, "")
    assert trading.refused("BRAVO", "identity", "record_credit", "ALPHA", "x", 50, "") == "ACCESS-ROLE"


def test_management_holds_no_assets(trading: LocalMarket) -> None:
    assert trading.refused("authority", "allowance", "issue", "EXCHANGE-1", "CEA-2024", 1, "gift", True) == "IDENTITY-MANAGEMENT"
    assert trading.refused("cash", "cash", "deposit", "REGISTRY-1", 1, "gift") == "IDENTITY-MANAGEMENT"
    assert trading.refused("exchange", "matching", "place", "CEA-2024", "S", 6196, 1, "") == "TRADE-MANAGEMENT-ACCOUNT"


def test_closing_needs_empty_accounts(local_market: LocalMarket) -> None:
    local_market.member("ALPHA")
    local_market.fund("ALPHA", cash_fen=100, iv="CEA-2024", units_t=5)
    assert local_market.refused("authority", "identity", "close", "ALPHA") == "CLOSE-UNITS-REMAIN"
    local_market.by("ALPHA", "allowance", "to_registry", "CEA-2024", 5)
    local_market.by("ALPHA", "allowance", "cancel", "CEA-2024", 5, "leaving")
    assert local_market.refused("authority", "identity", "close", "ALPHA") == "CLOSE-CASH-REMAINS"
    request = local_market.by("ALPHA", "cash", "request_withdrawal", 100)
    assert local_market.refused("authority", "identity", "close", "ALPHA") == "CLOSE-CASH-REMAINS"
    local_market.by("cash", "cash", "pay_out", request)
    local_market.by("authority", "identity", "close", "ALPHA")
    assert local_market.view("identity", "status_of", "ALPHA") == "closed"
    assert local_market.refused("ALPHA", "cash", "request_withdrawal", 1) == "ACCESS-SUSPENDED"
