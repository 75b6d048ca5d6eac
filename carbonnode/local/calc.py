"""The calculators of `carbonnode calc`: inputs to figures through the shipped contracts' own code. No formula stands here."""

import datetime as dt
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Final

from carbonnode.chain.values import Value
from carbonnode.errors import ConfigError
from carbonnode.local import calc_inputs as inputs
from carbonnode.local.calc_match import match
from carbonnode.local.decimals import from_scaled
from carbonnode.local.market import LocalMarket
from carbonnode.local.ruleset import RuleSet, day_number, load

ALLOCATION_FIELDS: Final = ("entity", "id", "class", "power_mwh", "heat_gj", "load_factor", "verified_t")
EMISSION_FIELDS: Final = ("fuel", "consumption", "unit", "ncv", "carbon_content", "factor", "oxidation")
CARRY_FIELDS: Final = ("entity", "holdings_t", "net_sales_t", "pending_t")
PENALTY_FIELDS: Final = ("entity", "shortfall_t", "mean_price_fen", "multiple")
AUCTION_FIELDS: Final = ("supply_t", "reserve_fen", "lot_t", "bids")
_UNIT_PLACES: Final = 13
"""Decimal places of unit figures: kWh x 10^-4 x 10^-6."""
_STREAM_DENOMINATOR: Final = 12 * 10**27
_STREAM_PLACES: Final = 6


def run(kind: str, rules: str, input_path: Path, *, at: dt.date | None = None, self_trade: str = "prevent") -> dict[str, Any]:
    """Run a calculator. `rules` is a rule set's id, family or path; `at` a date in the market's time zone, by default the rule set's start.

    Raises `ConfigError` for bad input and `LocalRefusal` for figures that a contract refuses.
    """
    if kind not in KINDS:
        raise ConfigError(f"there is no calculator {kind!r}: there are {', '.join(KINDS)}")
    ruleset = load(rules, at)
    document = inputs.read(input_path)
    at_ms = None if at is None else day_number(at) * 86_400_000 - ruleset.offset_ms
    if kind == "match":
        return match(ruleset, document, prevent_self_trade=_self_trade(self_trade), at_ms=at_ms)
    return {"rules": ruleset.id} | KINDS[kind](LocalMarket(ruleset, at_ms=at_ms), ruleset, document)


def _self_trade(choice: str) -> bool:
    if choice not in ("prevent", "allow"):
        raise ConfigError(f"self-trade is prevent or allow, not {choice!r}")
    return choice == "prevent"


def allocation(chain: LocalMarket, rules: RuleSet, document: Any) -> dict[str, Any]:
    """Benchmark allocation, one unit a row: figures of each unit as decimal texts, whole tonnes of each entity."""
    entities: dict[str, list[Value]] = {}
    verified_kg: dict[str, int] = {}
    for number, row in enumerate(inputs.rows(document, ALLOCATION_FIELDS, "calc allocation"), 1):
        where = f"calc allocation, record {number}"
        entity = inputs.text(row, "entity", where)
        kg = inputs.scaled(row, "verified_t", 3, where, 0)
        unit = (
            inputs.text(row, "id", where, f"unit-{number}"),
            inputs.text(row, "class", where, ""),
            inputs.scaled(row, "power_mwh", 3, where, 0),
            inputs.scaled(row, "heat_gj", 3, where, 0),
            inputs.scaled(row, "load_factor", 6, where, -1),
            kg,
        )
        chain.view("allocation", "check_units", unit)
        entities.setdefault(entity, []).extend(unit)
        verified_kg[entity] = verified_kg.get(entity, 0) + kg
    found = []
    for entity, units in entities.items():
        figures = _tuple(chain.view("allocation", "benchmark", rules.id, tuple(units), verified_kg[entity]))
        found.append({"entity": entity, "allowance_t": figures[0], "verified_t": _plain(verified_kg[entity], 3), "units": _units(figures[1:])})
    return {"entities": found, "total_t": sum(int(str(one["allowance_t"])) for one in found)}


def _units(figures: tuple[Any, ...]) -> list[dict[str, str]]:
    return [
        {
            "id": figures[i],
            "load_factor_correction": from_scaled(figures[i + 1], 6),
            "power_t": _plain(figures[i + 2], _UNIT_PLACES),
            "heat_t": _plain(figures[i + 3], _UNIT_PLACES),
            "allocation_t": _plain(figures[i + 4], _UNIT_PLACES),
        }
        for i in range(0, len(figures), 5)
    ]


def emissions(chain: LocalMarket, rules: RuleSet, document: Any) -> dict[str, Any]:
    """Emissions of fuel streams: each with 6 decimals half up, the exact sum floored to whole tonnes.

    Energy is GJ a unit of consumption (`ncv`), carbon content t C/GJ (t C a unit where there is no ncv), factor t CO2/TJ (t CO2/MWh for power).
    """
    streams: list[Value] = []
    names = []
    for number, row in enumerate(inputs.rows(document, EMISSION_FIELDS, "calc emissions"), 1):
        stream = _stream(row, f"calc emissions, record {number}")
        names.append(stream[0])
        streams += stream
    figures = _tuple(chain.view("emissions", "combustion", rules.id, tuple(streams)))
    shown = [{"fuel": name, "emissions_t": _stream_text(figure)} for name, figure in zip(names, figures[1:], strict=True)]
    return {"emissions_t": figures[0], "exact_t": _stream_text(sum(figures[1:])), "streams": shown}


def _stream(row: inputs.Row, where: str) -> list[Value]:
    fuel = inputs.text(row, "fuel", where)
    unit = inputs.text(row, "unit", where, "t").lower()
    energy = inputs.scaled(row, "ncv", 6, where, {"tj": 1000 * 10**6, "gj": 10**6}.get(unit, 0))
    carbon = inputs.scaled(row, "carbon_content", 9, where, -1)
    factor = inputs.scaled(row, "factor", 6, where, -1)
    if carbon >= 0 and factor >= 0:
        raise ConfigError(f"{where}: give carbon_content or factor, not both")
    if carbon >= 0 and energy == 0:
        energy = 10**6
    if carbon < 0 and energy == 0 and unit != "mwh":
        raise ConfigError(f"{where}: the field 'ncv' is missing: a factor is t CO2/TJ, so the energy of a {unit} of {fuel} in GJ is needed")
    if unit == "mwh" and factor < 0:
        raise ConfigError(f"{where}: power needs its factor in t CO2/MWh")
    oxidation = inputs.scaled(row, "oxidation", 6, where, 10**6)
    return [fuel, inputs.scaled(row, "consumption", 6, where), energy, carbon, factor, oxidation]


def _stream_text(figure: int) -> str:
    return from_scaled((figure * 2 * 10**_STREAM_PLACES + _STREAM_DENOMINATOR) // (2 * _STREAM_DENOMINATOR), _STREAM_PLACES)


def carry_over(chain: LocalMarket, rules: RuleSet, document: Any) -> dict[str, Any]:
    """What may be carried to the next period."""
    found = []
    for number, row in enumerate(inputs.rows(document, CARRY_FIELDS, "calc carry-over"), 1):
        where = f"calc carry-over, record {number}"
        figures = [inputs.whole(row, field, where, default) for field, default in zip(CARRY_FIELDS[1:], (None, 0, 0), strict=True)]
        result = chain.view("compliance", "carry_over", rules.id, *figures)
        found.append({"entity": inputs.text(row, "entity", where, ""), "carry_over_t": result})
    return {"results": found} | ({"carry_over_t": found[0]["carry_over_t"]} if len(found) == 1 else {})


def penalty(chain: LocalMarket, rules: RuleSet, document: Any) -> dict[str, Any]:
    """A shortfall's penalty; without a multiple the least one of the rule set."""
    least, most = rules.scaled("penalty_min_multiple"), rules.scaled("penalty_max_multiple")
    found = []
    for number, row in enumerate(inputs.rows(document, PENALTY_FIELDS, "calc penalty"), 1):
        where = f"calc penalty, record {number}"
        short, mean = inputs.whole(row, "shortfall_t", where), inputs.whole(row, "mean_price_fen", where)
        multiple = inputs.whole(row, "multiple", where, least)
        amounts = [chain.view("compliance", "penalty", rules.id, short, mean, m) for m in (multiple, least, most)]
        found.append(
            {
                "entity": inputs.text(row, "entity", where, ""),
                "multiple": multiple,
                "penalty_fen": amounts[0],
                "least_fen": amounts[1],
                "most_fen": amounts[2],
            }
        )
    return {"results": found} | ({"penalty_fen": found[0]["penalty_fen"]} if len(found) == 1 else {})


def auction(chain: LocalMarket, _rules: RuleSet, document: Any) -> dict[str, Any]:
    """Uniform-price clearing; bids in order of time."""
    (row,) = inputs.rows(document, AUCTION_FIELDS, "calc auction")[:1]
    bids = row.get("bids")
    if not isinstance(bids, list):
        raise ConfigError("calc auction: the field 'bids' must be a list of records with id, price_fen, quantity_t")
    flat: list[Value] = []
    names = []
    for number, bid in enumerate(inputs.rows(bids, ("id", "price_fen", "quantity_t"), "calc auction, bids") if bids else [], 1):
        where = f"calc auction, bid {number}"
        names.append(inputs.text(bid, "id", where))
        flat += [inputs.whole(bid, "price_fen", where), inputs.whole(bid, "quantity_t", where)]
    terms = [inputs.whole(row, field, "calc auction", default) for field, default in (("supply_t", None), ("reserve_fen", 0), ("lot_t", 1))]
    result = _tuple(chain.view("auction", "clear", *terms, tuple(flat)))
    awards = [{"id": name, "quantity_t": tonnes} for name, tonnes in zip(names, result[1:], strict=True)]
    return {"clearing_fen": result[0], "awards": awards, "sold_t": sum(result[1:])}


KINDS: Final[Mapping[str, Callable[[LocalMarket, RuleSet, Any], dict[str, Any]]]] = {
    "emissions": emissions,
    "allocation": allocation,
    "carry-over": carry_over,
    "penalty": penalty,
    "auction": auction,
    "match": lambda chain, rules, document: match(rules, document, prevent_self_trade=True, at_ms=chain.time_ms),
}


def _plain(number: int, places: int) -> str:
    return from_scaled(number, places, trim=True)


def _tuple(value: Value) -> tuple[Any, ...]:
    assert isinstance(value, tuple)
    return value
