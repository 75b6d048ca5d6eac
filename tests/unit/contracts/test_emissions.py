import pytest

from carbonnode.local.market import LocalMarket, document

UNITS = ("U1", "I", 100_000_000, 0, -1, 88_000_000)


@pytest.fixture
def reporting(local_market: LocalMarket) -> LocalMarket:
    for name in ("ST-1", "ST-2"):
        local_market.member(name, kind="emitter")
    local_market.by("ST-1", "emissions", "file_plan", 2024, document("plan"))
    local_market.by("authority", "emissions", "approve_plan", "ST-1", 2024)
    return local_market


def report(market: LocalMarket, scope1_t: int = 88_000, name: str = "ST-1") -> object:
    return market.by(name, "emissions", "report", 2024, scope1_t, 100, document("evidence"), UNITS)


def test_report_needs_an_approved_plan(reporting: LocalMarket) -> None:
    args = (2024, 1, 0, document("e"), UNITS)
    assert reporting.refused("ST-2", "emissions", "report", *args) == "REPORT-NO-APPROVED-PLAN"
    reporting.by("ST-2", "emissions", "file_plan", 2024, document("plan 2"))
    assert reporting.refused("ST-2", "emissions", "report", *args) == "REPORT-NO-APPROVED-PLAN"
    assert reporting.refused("ST-2", "emissions", "approve_plan", "ST-2", 2024) == "ACCESS-ROLE"
    reporting.by("authority", "emissions", "approve_plan", "ST-2", 2024)
    assert reporting.by("ST-2", "emissions", "report", *args) == 1
    assert reporting.refused("ST-2", "emissions", "file_plan", 2024, document("other")) == "PLAN-APPROVED"


def test_report_needs_a_reporting_account(reporting: LocalMarket) -> None:
    reporting.member("ALPHA")
    assert reporting.refused("ALPHA", "emissions", "file_plan", 2024, document("p")) == "REPORT-NO-REPORTING-ACCOUNT"


def test_verified_figure_sets_the_obligation_at_once(reporting: LocalMarket) -> None:
    report(reporting)
    assert reporting.refused("authority", "emissions", "verify", "ST-1", 2024, 88_000, "reasonable", document("s")) == "ACCESS-ROLE"
    reporting.by("verifier", "emissions", "verify", "ST-1", 2024, 87_500, "reasonable", document("statement"))
    found = reporting.ask("ST-1", "compliance", "obligation", "ST-1", 2024)
    assert isinstance(found, tuple)
    assert found[:5] == (87_500, 87_500, 0, 0, "O")
    reporting.by("verifier", "emissions", "verify", "ST-1", 2024, 88_100, "reasonable", document("correction"))
    found = reporting.ask("ST-1", "compliance", "obligation", "ST-1", 2024)
    assert isinstance(found, tuple)
    assert found[:2] == (88_100, 88_100)


@pytest.mark.parametrize(("verified", "status"), [(25_999, "N"), (26_000, "O")])
def test_coverage_threshold(reporting: LocalMarket, verified: int, status: str) -> None:
    report(reporting)
    reporting.by("verifier", "emissions", "verify", "ST-1", 2024, verified, "reasonable", document("s"))
    assert reporting.ask("ST-1", "compliance", "status", "ST-1", 2024) == status


def test_station_without_benchmark_has_no_obligation(reporting: LocalMarket) -> None:
    reporting.by("ST-1", "emissions", "report", 2024, 90_000, 0, document("e"), ("U1", "", 10, 0, -1, 90_000_000))
    reporting.by("verifier", "emissions", "verify", "ST-1", 2024, 90_000, "reasonable", document("s"))
    assert reporting.ask("ST-1", "compliance", "status", "ST-1", 2024) == "N"


def test_adverse_opinion_sets_nothing(reporting: LocalMarket) -> None:
    report(reporting)
    reporting.by("verifier", "emissions", "verify", "ST-1", 2024, 88_000, "adverse", document("s"))
    found = reporting.ask("ST-1", "compliance", "obligation", "ST-1", 2024)
    assert isinstance(found, tuple)
    assert found[0] == 0
    assert reporting.refused("authority", "allowance", "allocate", "ST-1", 2024) == "ALLOC-ADVERSE-OPINION"


def test_correction_keeps_the_old_version(reporting: LocalMarket) -> None:
    assert report(reporting) == 1
    assert report(reporting, 90_000) == 2
    old = reporting.ask("ST-1", "emissions", "version_of", "ST-1", 2024, 1)
    new = reporting.ask("ST-1", "emissions", "report_of", "ST-1", 2024)
    assert isinstance(old, tuple)
    assert isinstance(new, tuple)
    assert (old[0], new[0], new[1]) == (88_000, 2, 90_000)


def test_late_report_is_marked(reporting: LocalMarket) -> None:
    deadline = 20178  # 2025-03-31
    reporting.at_local(deadline, 24 * 60 - 1)
    report(reporting)
    reporting.at_local(deadline + 1, 0)
    report(reporting)
    flags = [event.fields["late"] for event in reporting.seen_by("ST-1") if event.name == "Reported"]
    assert flags == [False, True]


def test_methods_have_versions(local_market: LocalMarket) -> None:
    local_market.by("authority", "emissions", "publish_method", "combustion", 1, document("m"), "E = sum FC x NCV x CC x OF x 44/12", 0)
    assert local_market.refused("authority", "emissions", "publish_method", "combustion", 1, document("m"), "", 0) == "METHOD-EXISTS"
    assert local_market.refused("authority", "emissions", "publish_method", "combustion", 3, document("m"), "", 0) == "METHOD-VERSION"
    assert local_market.refused("verifier", "emissions", "publish_method", "combustion", 2, document("m"), "", 0) == "ACCESS-ROLE"


def test_combustion_is_exact(local_market: LocalMarket) -> None:
    # 1,000 t at 26.7 GJ/t with 0.0273 t C/GJ, oxidation 0.99: 1000 x 26.7 x 0.0273 x 0.99 x 44/12 = 2,645.9433 t
    coal = ("coal", 10**9, 26_700_000, 27_300_000, -1, 990_000)
    # 1,000 TJ of natural gas at 56.1 t/TJ
    gas = ("natural gas", 10**9, 10**9, -1, -1, 10**6)
    found = local_market.view("emissions", "combustion", "demo-nger", (*coal, *gas))
    assert isinstance(found, tuple)
    assert found[1] * 10**4 == 26_459_433 * 12 * 10**27
    assert found[2] == 56_100 * 12 * 10**27
    assert found[0] == 2_645 + 56_100
