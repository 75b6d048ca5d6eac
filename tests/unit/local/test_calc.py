import datetime as dt
import json
from pathlib import Path
from typing import Any

import pytest

from carbonnode import resources
from carbonnode.errors import ConfigError
from carbonnode.local import calc
from carbonnode.local.chain import LocalRefusal


def run(tmp_path: Path, kind: str, document: Any, rules: str = "cn-national-2024", **options: Any) -> dict[str, Any]:
    path = tmp_path / ("input.csv" if isinstance(document, str) else "input.json")
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    return calc.run(kind, rules, path, **options)


def test_allocation_of_units_and_entities(tmp_path: Path) -> None:
    document = [
        {"entity": "A", "id": "1", "class": "I", "power_mwh": "15545800"},
        {"entity": "B", "id": "2", "class": "II", "power_mwh": 1000.5, "heat_gj": "10.5", "load_factor": "0.50"},
        {"entity": "B", "id": "3", "class": "IV", "power_mwh": "10", "verified_t": "3.5"},
    ]
    found = run(tmp_path, "allocation", document)
    assert [(one["entity"], one["allowance_t"]) for one in found["entities"]] == [("A", 12_296_727), ("B", 885)]
    second = found["entities"][1]["units"][0]
    assert second["load_factor_correction"] == "1.093443"
    # 1000.5 x 0.8049 x 1.093443, exactly
    assert second["power_t"] == "880.55232683535"
    assert second["heat_t"] == "1.08465"
    assert found["entities"][1]["units"][1]["allocation_t"] == "3.5"  # 3.288, topped up
    assert found["total_t"] == 12_296_727 + 885


def test_allocation_from_csv(tmp_path: Path) -> None:
    found = run(tmp_path, "allocation", "entity,id,class,power_mwh\nX,u1,III,10000\nX,u2,I,1\n", rules="cn-national-2023")
    assert found["entities"][0]["allowance_t"] == 8285  # 8285 + 0.795


def test_allocation_of_a_date(tmp_path: Path) -> None:
    document = [{"entity": "A", "id": "1", "class": "I", "power_mwh": "10000"}]
    assert run(tmp_path, "allocation", document, rules="cn-national", at=dt.date(2024, 7, 1))["total_t"] == 7950
    assert run(tmp_path, "allocation", document, rules="cn-national")["total_t"] == 7910


def test_the_market_years_fleet(tmp_path: Path) -> None:
    """91 covered stations of 187; 29 of them about 4.37 Mt long, the rest as much short."""
    lines = (resources.genesis_dir() / "data" / "nger_2017_18_thermal.csv").read_text().splitlines()
    import csv

    classes = {"Black Coal": "I", "Brown Coal": "III", "Diesel": ""}
    rows = list(csv.DictReader(lines))
    covered = [row for row in rows if int(row["scope1_tco2e"]) >= 26_000 and row["primary_fuel"] != "Diesel"]
    assert (len(rows), len(covered)) == (187, 91)
    units = [
        {"entity": f"ST-{n}", "id": "u", "class": classes.get(row["primary_fuel"], "IV"), "power_mwh": row["production_mwh"], "verified_t": row["scope1_tco2e"]}
        for n, row in enumerate(covered)
    ]
    found = run(tmp_path, "allocation", units, rules="demo-nger")
    gaps = [one["allowance_t"] - int(one["verified_t"]) for one in found["entities"]]
    assert sum(1 for gap in gaps if gap > 0) == 29
    assert sum(gap for gap in gaps if gap > 0) == 4_374_747
    assert -sum(gap for gap in gaps if gap < 0) == 4_374_262


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ([{"entity": "A", "class": "I", "power": 1}], "field 'power' is unknown"),
        ([{"class": "I", "power_mwh": 1}], "field 'entity' is missing"),
        ([{"entity": "A", "class": "I", "power_mwh": "many"}], "record 1: power_mwh: 'many' is no decimal"),
        ([], "must be a list of records"),
        ("nonsense\n", "must be a list of records"),
        ([7], "record 1: 7 is no record"),
    ],
)
def test_bad_input_is_named(tmp_path: Path, document: Any, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        run(tmp_path, "allocation", document)


def test_contracts_refuse_bad_figures(tmp_path: Path) -> None:
    with pytest.raises(LocalRefusal, match="ALLOC-CLASS"):
        run(tmp_path, "allocation", [{"entity": "A", "class": "V", "power_mwh": 1}])
    with pytest.raises(LocalRefusal, match="ALLOC-NEGATIVE"):
        run(tmp_path, "allocation", [{"entity": "A", "class": "I", "power_mwh": -1}])


def test_no_json(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text("{")
    with pytest.raises(ConfigError, match="no JSON document"):
        calc.run("allocation", "demo-nger", path)
    with pytest.raises(ConfigError, match="can't be read"):
        calc.run("allocation", "demo-nger", tmp_path / "absent.json")
    with pytest.raises(ConfigError, match="no calculator"):
        calc.run("weather", "demo-nger", path)


def test_emissions(tmp_path: Path) -> None:
    document = [
        {"fuel": "coal", "consumption": "1000", "unit": "t", "ncv": "26.7", "carbon_content": "0.0273", "oxidation": "0.99"},
        {"fuel": "natural gas", "consumption": "1", "unit": "TJ"},
        {"fuel": "diesel", "consumption": "10", "unit": "t", "ncv": "42.652", "factor": "74.1"},
        {"fuel": "electricity", "consumption": "100", "unit": "MWh", "factor": "0.5306"},
    ]
    found = run(tmp_path, "emissions", document)
    assert [stream["emissions_t"] for stream in found["streams"]] == ["2645.943300", "56.100000", "31.605132", "53.060000"]
    assert found["exact_t"] == "2786.708432"
    assert found["emissions_t"] == 2786


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"fuel": "diesel", "consumption": 1, "unit": "t"}, "'ncv' is missing"),
        ({"fuel": "diesel", "consumption": 1, "unit": "t", "ncv": 1, "factor": 1, "carbon_content": 1}, "not both"),
        ({"fuel": "electricity", "consumption": 1, "unit": "MWh"}, "needs its factor"),
    ],
)
def test_emission_rows(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        run(tmp_path, "emissions", [row])


def test_carry_over_and_penalty(tmp_path: Path) -> None:
    assert run(tmp_path, "carry-over", {"holdings_t": 100_000, "net_sales_t": 20_000})["carry_over_t"] == 40_000
    found = run(tmp_path, "penalty", [{"shortfall_t": 1_000, "mean_price_fen": 6_150}])
    assert found["results"][0] == {"entity": "", "multiple": 5, "penalty_fen": 30_750_000, "least_fen": 30_750_000, "most_fen": 61_500_000}
    with pytest.raises(LocalRefusal, match="PENALTY-MULTIPLE"):
        run(tmp_path, "penalty", [{"shortfall_t": 1, "mean_price_fen": 1, "multiple": 11}])


def test_auction(tmp_path: Path) -> None:
    bids = [{"id": "a", "price_fen": 60, "quantity_t": 50}, {"id": "b", "price_fen": 70, "quantity_t": 80}]
    found = run(tmp_path, "auction", {"supply_t": 100, "reserve_fen": 50, "lot_t": 10, "bids": bids})
    assert found["clearing_fen"] == 60
    assert found["awards"] == [{"id": "a", "quantity_t": 20}, {"id": "b", "quantity_t": 80}]
    assert run(tmp_path, "auction", {"supply_t": 100, "bids": []})["clearing_fen"] == 0


def orders() -> list[dict[str, Any]]:
    return [
        {"id": "s1", "owner": "X", "side": "S", "price_fen": 6000, "quantity_t": 10},
        {"id": "s2", "owner": "Y", "side": "sell", "price_fen": 6000, "quantity_t": 10},
        {"id": "s3", "owner": "Z", "side": "S", "price_fen": 9000, "quantity_t": 200_000},
        {"id": "b1", "owner": "X", "side": "B", "price_fen": 7000, "quantity_t": 15},
        {"cancel": "s2"},
        {"id": "b2", "owner": "W", "side": "buy", "price_fen": 9500, "quantity_t": 12},
    ]


def test_match_without_self_trade(tmp_path: Path) -> None:
    found = run(tmp_path, "match", orders())
    assert found["trades"] == [
        {"taker": "b1", "maker": "s2", "price_fen": 6000, "quantity_t": 10},
        {"taker": "b2", "maker": "s1", "price_fen": 6000, "quantity_t": 10},
        {"taker": "b2", "maker": "s3", "price_fen": 9000, "quantity_t": 2},
    ]
    assert found["book"] == [
        {"id": "s3", "side": "S", "price_fen": 9000, "quantity_t": 199_998},
        {"id": "b1", "side": "B", "price_fen": 7000, "quantity_t": 5},
    ]


def test_match_with_self_trade(tmp_path: Path) -> None:
    found = run(tmp_path, "match", orders(), self_trade="allow")
    assert found["trades"][:2] == [
        {"taker": "b1", "maker": "s1", "price_fen": 6000, "quantity_t": 10},
        {"taker": "b1", "maker": "s2", "price_fen": 6000, "quantity_t": 5},
    ]
    with pytest.raises(ConfigError, match="prevent or allow"):
        run(tmp_path, "match", orders(), self_trade="maybe")


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"id": "s1", "owner": "X", "side": "S", "price_fen": 1, "quantity_t": 1}, "used twice"),
        ({"id": "n", "owner": "X", "side": "hold", "price_fen": 1, "quantity_t": 1}, "side must be"),
        ({"id": "n", "owner": "X", "side": "S", "price_fen": 0, "quantity_t": 1}, "must be positive"),
        ({"cancel": "zzz"}, "no earlier order"),
    ],
)
def test_match_input(tmp_path: Path, row: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        run(tmp_path, "match", [*orders()[:1], row])


def test_match_of_more_fills_than_a_transaction_makes(tmp_path: Path) -> None:
    document = [{"id": f"s{n}", "owner": "X", "side": "S", "price_fen": 100, "quantity_t": 1} for n in range(750)]
    document.append({"id": "b", "owner": "Y", "side": "B", "price_fen": 100, "quantity_t": 751})
    document.append({"id": "t", "owner": "X", "side": "S", "price_fen": 100, "quantity_t": 1})
    found = run(tmp_path, "match", document)
    assert [trade["maker"] for trade in found["trades"]] == [f"s{n}" for n in range(750)] + ["b"]
    assert found["book"] == []


def test_match_against_a_plain_order_book(tmp_path: Path) -> None:
    import random

    rng = random.Random(5)
    document: list[dict[str, Any]] = []
    for n in range(400):
        if document and rng.random() < 0.15:
            document.append({"cancel": rng.choice([row["id"] for row in document if "id" in row])})
        else:
            row = {"id": f"o{n}", "owner": rng.choice("XYZ"), "side": rng.choice("BS"), "price_fen": rng.randrange(90, 111), "quantity_t": rng.randrange(1, 50)}
            document.append(row)
    for choice in ("prevent", "allow"):
        assert run(tmp_path, "match", document, self_trade=choice)["trades"] == plain_book(document, self_trade=choice == "allow")


def plain_book(document: list[dict[str, Any]], *, self_trade: bool) -> list[dict[str, Any]]:
    resting: list[dict[str, Any]] = []
    trades = []
    for row in document:
        if "cancel" in row:
            resting = [one for one in resting if one["id"] != row["cancel"]]
            continue
        taker = dict(row)
        sign = 1 if taker["side"] == "B" else -1
        best = sorted((one for one in resting if one["side"] != taker["side"]), key=lambda one: sign * one["price_fen"])
        for maker in best:
            if sign * maker["price_fen"] > sign * taker["price_fen"] or not taker["quantity_t"]:
                break
            if maker["owner"] == taker["owner"] and not self_trade:
                continue
            part = min(maker["quantity_t"], taker["quantity_t"])
            maker["quantity_t"] -= part
            taker["quantity_t"] -= part
            trades.append({"taker": taker["id"], "maker": maker["id"], "price_fen": maker["price_fen"], "quantity_t": part})
        resting = [one for one in [*resting, taker] if one["quantity_t"]]
    return trades
