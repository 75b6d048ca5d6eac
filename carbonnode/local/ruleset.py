"""Dated rule sets: read from `genesis/rules/*.json`, checked to the last key, turned into the calls that load them into `rules` at genesis.

A file names its legal source for every number; `"verify": true` marks what wasn't read in its source text, and the mark stays on the chain.
"""

import datetime as dt
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Final

import msgspec

from carbonnode import resources
from carbonnode.chain.genesis import ContractSource
from carbonnode.chain.transaction import Call
from carbonnode.chain.values import Value
from carbonnode.errors import ConfigError
from carbonnode.local.decimals import to_scaled

CONTRACTS: Final = (
    "rules",
    "identity",
    "cash",
    "allocation",
    "allowance",
    "emissions",
    "voucher",
    "execution",
    "matching",
    "compliance",
    "auction",
)
"""Every contract of the market, in the order of installation."""
INVARIANTS: Final = (("allowance", "conserved"), ("cash", "conserved"))
"""Views that must be true after every block."""
MS_A_DAY: Final = 86_400_000
MOST_FILLS: Final = 340
"""Fills of one order at most: each makes three events, and a transaction has at most 1,024."""
VERIFY_MARK: Final = " (verify)"

_CLOCK, _OFFSET, _FORM = -1, -2, -3
_FORMS: Final = {"none": 0, "power": 1, "draft": 2}

NUMBERS: Final[Mapping[str, tuple[str, int]]] = {
    "market_utc_offset": ("market_utc_offset_ms", _OFFSET),
    "morning_open": ("morning_open_min", _CLOCK),
    "morning_close": ("morning_close_min", _CLOCK),
    "afternoon_open": ("afternoon_open_min", _CLOCK),
    "afternoon_close": ("afternoon_close_min", _CLOCK),
    "lf_form": ("lf_form", _FORM),
    "listing_limit": ("listing_limit_bp", 4),
    "block_limit": ("block_limit_bp", 4),
    "offset_share": ("offset_share_bp", 4),
    "false_report_cut_min": ("false_report_cut_min_bp", 4),
    "false_report_cut_max": ("false_report_cut_max_bp", 4),
    "carry_ratio": ("carry_ratio_bp", 4),
    "be_I": ("be_I_e4", 4),
    "be_II": ("be_II_e4", 4),
    "be_III": ("be_III_e4", 4),
    "be_IV": ("be_IV_e4", 4),
    "bh_coal": ("bh_coal_e4", 4),
    "bh_gas": ("bh_gas_e4", 4),
    "lf_threshold": ("lf_threshold_e6", 6),
    "lf_base": ("lf_base_e3", 3),
    "lf_c0": ("lf_c0_e3", 3),
    "lf_c1": ("lf_c1_e3", 3),
    "lf_d1": ("lf_d1_e3", 3),
    "lf_c2": ("lf_c2_e3", 3),
    "lf_d2": ("lf_d2_e3", 3),
    "allocation_floor": ("allocation_floor_bp", 4),
    "pre_allocation": ("pre_allocation_bp", 4),
} | {
    name: (name, 0)
    for name in (
        "listing_lot_t",
        "listing_max_t",
        "block_min_t",
        "tick_fen",
        "t_plus",
        "self_trade_prevented",
        "max_fills",
        "always_open",
        "off_exchange_transfer",
        "holding_limit_others_t",
        "holding_limit_emitter_extra_t",
        "disclosure_t",
        "coverage_t",
        "report_month",
        "report_day",
        "objection_working_days",
        "reply_days",
        "surrender_month",
        "surrender_day",
        "surrender_later_vintages",
        "penalty_min_multiple",
        "penalty_max_multiple",
        "record_years",
        "credit_points_shortfall",
        "credit_bar_points",
        "carry_base_t",
        "lf_constant",
        "lf_slope",
        "gas_top_up",
        "first_reference_price_fen",
    )
}
"""Name in a file -> (parameter of the contract `rules`, decimal places it is scaled by)."""

OPTIONAL: Final = frozenset(("lf_threshold", "lf_base", "lf_constant", "lf_slope", "lf_c0", "lf_c1", "lf_d1", "lf_c2", "lf_d2", "first_reference_price_fen"))
TEXTS: Final = ("country", "instrument", "venue_exchange", "venue_registry")
TABLES: Final[Mapping[str, int | None]] = {
    "lf_classes": None,
    "emission_factors": 6,
    "gwp_ar4": 1,
    "gwp_ar5": 1,
    "gwp_ar6": 1,
    "grid_factors": 4,
}
"""Table -> decimal places of every second item (name, number, ...); None: names only."""


class Entry(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A parameter: its value, legal source, and whether that source is still to be read."""

    value: str | int
    source: str
    verify: bool = False

    @property
    def marked_source(self) -> str:
        """The source, with the mark where it wasn't read."""
        return self.source + VERIFY_MARK if self.verify else self.source


class Table(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A table parameter."""

    value: tuple[str, ...]
    source: str
    verify: bool = False


class RuleText(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A rule by the code that a refusal carries, in words, with its legal source."""

    code: str
    text: str
    source: str


class RuleSet(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A rule set as its file says it. Dates are inclusive days of the market's time zone."""

    id: str
    family: str
    title: str
    source: str
    effective_from: dt.date
    effective_to: dt.date
    compliance_year: int
    texts: dict[str, Entry]
    numbers: dict[str, Entry]
    tables: dict[str, Table]
    draft: bool = False
    note: str = ""
    rules: tuple[RuleText, ...] = ()

    def scaled(self, name: str) -> int:
        """A number as the contracts have it. Raises `ConfigError` naming it if it is malformed or missing."""
        if name not in self.numbers:
            raise ConfigError(f"rule set {self.id}: numbers.{name} is missing")
        return _scale(self.numbers[name].value, NUMBERS[name][1], f"rule set {self.id}: numbers.{name}")

    @property
    def offset_ms(self) -> int:
        """Offset of the market's time zone to UTC."""
        return self.scaled("market_utc_offset")

    @property
    def from_ms(self) -> int:
        """The first moment at which the set holds, ms."""
        return day_number(self.effective_from) * MS_A_DAY - self.offset_ms

    @property
    def to_ms(self) -> int:
        """The first moment at which it no longer holds, ms."""
        return (day_number(self.effective_to) + 1) * MS_A_DAY - self.offset_ms

    def override(self, values: Mapping[str, str | int]) -> "RuleSet":
        """The same set with some numbers replaced (bench, calculators); their source says so."""
        for name in values:
            if name not in NUMBERS:
                raise ConfigError(f"rule set {self.id}: there is no number {name!r} to override")
        replaced = {name: Entry(value, "overridden for a local run or test network") for name, value in values.items()}
        return msgspec.structs.replace(self, numbers=self.numbers | replaced)

    def calls(self) -> list[Call]:
        """The genesis calls that load this set."""
        numbers: list[Value] = []
        for name, entry in self.numbers.items():
            numbers += [NUMBERS[name][0], self.scaled(name), entry.marked_source]
        texts: list[Value] = []
        for name, entry in self.texts.items():
            texts += [name, str(entry.value), entry.marked_source]
        calls = [Call("rules", "load_set", (self.id, self.title, self.source, self.from_ms, self.to_ms, self.compliance_year))]
        # A tuple's texts may hold 4 KiB in all: sources are long, so few parameters travel together.
        calls += [Call("rules", "load_numbers", (self.id, tuple(numbers[i : i + 36]))) for i in range(0, len(numbers), 36)]
        calls.append(Call("rules", "load_texts", (self.id, tuple(texts))))
        for name, table in self.tables.items():
            source = table.source + (VERIFY_MARK if table.verify else "")
            calls.append(Call("rules", "load_table", (self.id, name, source, self._table(name))))
        return calls

    def _table(self, name: str) -> tuple[Value, ...]:
        places = TABLES[name]
        items = self.tables[name].value
        if places is None:
            return items
        where = f"rule set {self.id}: tables.{name}"
        if len(items) % 2:
            raise ConfigError(f"{where} must hold pairs of a name and a number")
        return tuple(item if i % 2 == 0 else to_scaled(item, places, where) for i, item in enumerate(items))


class Member(msgspec.Struct, frozen=True):
    """A management member of genesis: entity id (= certificate subject O), name, role bits, signing key.

    Roles: AUTHORITY 1, VERIFIER 2, EXCHANGE 4, REGISTRY 8, CASH 16.
    """

    entity: str
    name: str
    roles: int
    key: bytes


AUTHORITY, VERIFIER, EXCHANGE, REGISTRY, CASH = 1, 2, 4, 8, 16


def day_number(date: dt.date) -> int:
    """Days since 1970-01-01."""
    return date.toordinal() - dt.date(1970, 1, 1).toordinal()


def rules_dir() -> Path:
    """Where the shipped rule sets lie."""
    return resources.genesis_dir() / "rules"


def available() -> tuple[str, ...]:
    """Ids of the shipped rule sets."""
    return tuple(sorted(path.stem for path in rules_dir().glob("*.json")))


def parse(data: bytes, name: str) -> RuleSet:
    """Read a rule set's bytes. Raises `ConfigError` naming the file and the key that is unknown, missing or malformed."""
    try:
        found = msgspec.json.decode(data, type=RuleSet)
    except msgspec.DecodeError as error:
        raise ConfigError(f"{name}: {error}: correct the rule set") from None
    _check_keys(name, "numbers", found.numbers, NUMBERS, OPTIONAL)
    _check_keys(name, "texts", found.texts, TEXTS, frozenset())
    _check_keys(name, "tables", found.tables, TABLES, frozenset())
    if found.effective_from > found.effective_to:
        raise ConfigError(f"{name}: effective_from lies after effective_to")
    for key in found.numbers:
        found.scaled(key)
    if found.scaled("t_plus") not in (0, 1):
        raise ConfigError(f"{name}: numbers.t_plus must be 0 or 1: a holding knows one day's lot")
    if not 1 <= found.scaled("max_fills") <= MOST_FILLS:
        raise ConfigError(f"{name}: numbers.max_fills must lie between 1 and {MOST_FILLS}: a transaction's events are limited")
    for key, entry in found.texts.items():
        if not isinstance(entry.value, str):
            raise ConfigError(f"{name}: texts.{key} must be a text")
    found.calls()
    return found


def load(name: str, at: dt.date | None = None) -> RuleSet:
    """A rule set by id, family or path. A family means its set of the day `at`, or without one its latest set that is no draft."""
    path = Path(name)
    if path.suffix == ".json" or "/" in name:
        if not path.is_file():
            raise ConfigError(f"there is no rule set file {name}")
        return parse(path.read_bytes(), name)
    sets = [parse((rules_dir() / f"{known}.json").read_bytes(), f"{known}.json") for known in available()]
    for found in sets:
        if found.id == name:
            return found
    family = [found for found in sets if found.family == name]
    if at is not None:
        family = [found for found in family if found.effective_from <= at <= found.effective_to]
    else:
        family = [found for found in family if not found.draft]
    if not family:
        raise ConfigError(f"there is no rule set {name!r}{f' of {at}' if at else ''}: there are {', '.join(available())}; or give a path to a .json file")
    return max(family, key=lambda found: found.effective_from)


def genesis_contracts(names: Iterable[str] = CONTRACTS) -> tuple[ContractSource, ...]:
    """The shipped contracts for a genesis file."""
    return tuple(ContractSource(name, resources.contract_source(name)) for name in names)


def genesis_calls(
    rulesets: Iterable[RuleSet],
    members: Iterable[Member],
    *,
    test_clock: bool = False,
    epoch_blocks: int = 50,
    market_time_ms: int | None = None,
) -> list[Call]:
    """The calls of block 0: rule sets, clock, management members. `market_time_ms` starts a test network's market clock (it may lie before real time)."""
    calls = [call for ruleset in rulesets for call in ruleset.calls()]
    calls.append(Call("rules", "configure", (test_clock, epoch_blocks)))
    if market_time_ms is not None:
        if not test_clock:
            raise ConfigError("market_time_ms needs test_clock: only a test network's market clock can be set")
        calls.append(Call("rules", "set_clock", (market_time_ms,)))
    calls += [Call("identity", "genesis_member", (m.entity, m.name, m.roles, m.key)) for m in members]
    return calls


def _check_keys(name: str, section: str, given: Iterable[str], known: Iterable[str], optional: frozenset[str]) -> None:
    wanted = set(known)
    for key in given:
        if key not in wanted:
            raise ConfigError(f"{name}: {section}.{key} is unknown: the {section} are {', '.join(sorted(wanted))}")
    missing = wanted - set(given) - optional
    if missing:
        raise ConfigError(f"{name}: {section}.{min(missing)} is missing")


def _scale(value: str | int, places: int, where: str) -> int:
    if places == _FORM:
        if value not in _FORMS:
            raise ConfigError(f"{where}: {value!r} is unknown: write none, power or draft")
        return _FORMS[str(value)]
    if places in (_CLOCK, _OFFSET):
        return _clock(str(value), where, offset=places == _OFFSET)
    return to_scaled(value, places, where)


def _clock(text: str, where: str, *, offset: bool) -> int:
    # "09:30" in minutes of the day; "+08:00" in milliseconds.
    sign = -1 if offset and text.startswith("-") else 1
    parts = (text[1:] if offset and text[:1] in "+-" else text).split(":")
    if len(parts) != 2 or not all(part.isascii() and part.isdigit() and len(part) == 2 for part in parts):
        raise ConfigError(f"{where}: {text!r} is no time: write hours and minutes, such as {'+08:00' if offset else '09:30'}")
    minutes = int(parts[0]) * 60 + int(parts[1])
    if int(parts[1]) > 59 or minutes > 24 * 60:
        raise ConfigError(f"{where}: {text!r} is no time of day")
    return sign * minutes * 60_000 if offset else minutes
