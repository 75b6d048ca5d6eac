import datetime as dt
import json
from pathlib import Path
from typing import Any

import msgspec
import pytest

from carbonnode.chain import values
from carbonnode.errors import ConfigError
from carbonnode.local import ruleset


def document() -> dict[str, Any]:
    found = json.loads((ruleset.rules_dir() / "demo-nger.json").read_text())
    assert isinstance(found, dict)
    return found


def refused(change: dict[str, Any]) -> str:
    with pytest.raises(ConfigError) as caught:
        ruleset.parse(json.dumps(document() | change).encode(), "mine.json")
    assert "mine.json" in str(caught.value) or "demo-nger" in str(caught.value)
    return str(caught.value)


@pytest.mark.parametrize("name", ["cn-national-2023", "cn-national-2024", "cn-national-2025", "cn-national-2026", "demo-nger"])
def test_shipped_sets_are_whole(name: str) -> None:
    found = ruleset.load(name)
    assert found.id == name
    assert all(entry.source for entry in found.numbers.values())
    for call in found.calls():
        for arg in call.args:
            values.encode_value(arg)


def test_drafts_and_unread_sources_are_marked() -> None:
    draft = ruleset.load("cn-national-2026")
    assert draft.draft
    assert draft.numbers["be_I"].verify
    assert draft.numbers["be_I"].marked_source.endswith("(verify)")
    assert not ruleset.load("cn-national-2024").numbers["be_I"].verify


def test_family_by_date() -> None:
    assert ruleset.load("cn-national").id == "cn-national-2024"
    assert ruleset.load("cn-national", dt.date(2024, 6, 1)).id == "cn-national-2023"
    assert ruleset.load("cn-national", dt.date(2027, 12, 31)).id == "cn-national-2026"
    with pytest.raises(ConfigError, match="no rule set 'cn-national' of 2020-01-01"):
        ruleset.load("cn-national", dt.date(2020, 1, 1))


def test_unknown_names_and_files() -> None:
    with pytest.raises(ConfigError, match="there are cn-national-2023"):
        ruleset.load("eu-ets")
    with pytest.raises(ConfigError, match="no rule set file"):
        ruleset.load("/nowhere/rules.json")


def test_path(tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_text(json.dumps(document() | {"id": "mine"}))
    assert ruleset.load(str(path)).id == "mine"


def test_unknown_keys_are_named() -> None:
    numbers = document()["numbers"]
    assert "numbers.listing_limt is unknown" in refused({"numbers": numbers | {"listing_limt": {"value": 1, "source": "x"}}})
    assert "numbers.t_plus is missing" in refused({"numbers": {k: v for k, v in numbers.items() if k != "t_plus"}})
    assert "colour" in refused({"colour": "green"})
    assert "texts.motto is unknown" in refused({"texts": document()["texts"] | {"motto": {"value": "x", "source": "x"}}})
    assert "tables.x is unknown" in refused({"tables": document()["tables"] | {"x": {"value": [], "source": "x"}}})


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("listing_limit", "ten", "is no decimal number"),
        ("listing_limit", "0.123456", "more than 4 decimal places"),
        ("morning_open", "9.30", "is no time"),
        ("morning_open", "25:00", "no time of day"),
        ("lf_form", "cubic", "write none, power or draft"),
        ("t_plus", 2, "must be 0 or 1"),
        ("market_utc_offset", "+8", "is no time"),
    ],
)
def test_malformed_numbers_are_named(name: str, value: Any, message: str) -> None:
    text = refused({"numbers": document()["numbers"] | {name: {"value": value, "source": "x"}}})
    assert message in text
    assert name in text


def test_floats_are_no_numbers() -> None:
    assert "Expected" in refused({"numbers": document()["numbers"] | {"listing_limit": {"value": 0.1, "source": "x"}}})


def test_dates() -> None:
    assert "effective_from lies after" in refused({"effective_from": "2040-01-01"})
    found = ruleset.load("cn-national-2024")
    assert found.from_ms == 1_735_660_800_000  # 2025-01-01T00:00 +08:00
    assert found.to_ms - found.from_ms == 365 * 86_400_000


def test_scales() -> None:
    found = ruleset.load("cn-national-2024")
    assert found.scaled("market_utc_offset") == 8 * 3_600_000
    assert found.scaled("morning_open") == 570
    assert found.scaled("be_I") == 7910
    assert found.scaled("listing_limit") == 1000
    with pytest.raises(ConfigError, match="first_reference_price_fen is missing"):
        found.scaled("first_reference_price_fen")


def test_override() -> None:
    found = ruleset.load("demo-nger").override({"always_open": 1, "listing_limit": "0.05"})
    assert (found.scaled("always_open"), found.scaled("listing_limit")) == (1, 500)
    with pytest.raises(ConfigError, match="no number 'nonsense'"):
        found.override({"nonsense": 1})


def test_genesis_calls_set_a_clock_only_on_a_test_network() -> None:
    rules = ruleset.load("demo-nger")
    members = [ruleset.Member("AUTHORITY-1", "Ministry", ruleset.AUTHORITY, bytes(32))]
    calls = ruleset.genesis_calls([rules], members, test_clock=True, market_time_ms=5)
    assert [call.method for call in calls[-3:]] == ["configure", "set_clock", "genesis_member"]
    with pytest.raises(ConfigError, match="test_clock"):
        ruleset.genesis_calls([rules], members, market_time_ms=5)


def test_contracts_for_genesis() -> None:
    found = ruleset.genesis_contracts()
    assert [source.name for source in found] == list(ruleset.CONTRACTS)
    assert all(msgspec.msgpack.encode(source) for source in found)
