"""The data of the market year: stations and daily prices, read from CSV with every refusal naming file, line and column."""

import csv
import io
from collections.abc import Callable
from datetime import date
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import TypeVar

import msgspec

from carbonnode.chain.hashing import blake2b_256
from carbonnode.errors import ConfigError

STATION_COLUMNS = ("operator", "facility", "state", "primary_fuel", "production_mwh", "scope1_tco2e", "scope2_tco2e")
PRICE_COLUMNS = ("date", "open_cny", "high_cny", "low_cny", "close_cny", "listed_volume_t")
REGIONS = {"NSW": 1, "VIC": 2, "QLD": 3, "SA": 4, "WA": 5, "TAS": 6, "NT": 7, "ACT": 8}
"""Region numbers of the demo's registry, by Australian state."""
CLASSES = {"black coal": "I", "brown coal": "III"}
"""Unit classes of rule set `demo-nger`; every gas and methane is IV, anything else has no benchmark."""
_LEGAL_FORMS = {"PTY", "LTD", "LIMITED", "AUSTRALIAN", "AUSTRALIA"}
_MAX_STATIONS = 10_000
_T = TypeVar("_T")


class Station(msgspec.Struct, frozen=True):
    """One facility. `power_kwh` net output of the year; emissions in t CO2-e; `row` the line of the file it came from."""

    entity: str
    organisation: str
    operator: str
    name: str
    region: int
    fuel: str
    unit_class: str
    power_kwh: int
    scope1_t: int
    scope2_t: int
    row: bytes

    @property
    def evidence(self) -> bytes:
        """Hash of the published row: what the report stands on."""
        return blake2b_256(self.row)

    def document(self, kind: str) -> bytes:
        """Hash of one of the example documents that registration asks for."""
        return blake2b_256(f"{kind} of {self.name}, {self.operator} (example document of the market year)".encode())


class DayPrice(msgspec.Struct, frozen=True):
    """One trading day of the price file: fen a tonne, tonnes."""

    day: date
    open_fen: int
    high_fen: int
    low_fen: int
    close_fen: int
    volume_t: int


def organisation_id(operator: str) -> str:
    """The organisation's id from its name: `ORIGIN ENERGY LIMITED` -> `ORIGIN-ENERGY`."""
    words = "".join(c if c.isascii() and c.isalnum() else " " for c in operator.upper()).split()
    while len(words) > 1 and words[-1] in _LEGAL_FORMS:
        words.pop()
    return "-".join(words)[:48].strip("-")


def read_stations(path: Path) -> tuple[Station, ...]:
    """The stations of a CSV file, numbered ST-001 on in the file's order. Raises `ConfigError` naming file, line and column."""
    lines, rows = _rows(path, STATION_COLUMNS)
    if len(rows) > _MAX_STATIONS:
        raise ConfigError(f"{path}: {len(rows)} stations: the market year takes at most {_MAX_STATIONS}")
    width = max(3, len(str(len(rows))))
    operators: dict[str, str] = {}
    seen: dict[tuple[str, str], int] = {}
    stations: list[Station] = []
    for number, row in rows:
        where = f"{path}, line {number}"
        operator, facility, fuel = (_text(row, c, where) for c in ("operator", "facility", "primary_fuel"))
        if (first := seen.setdefault((operator, facility), number)) != number:
            raise ConfigError(f"{where}: {facility} of {operator} stands on line {first} already: remove one of the two")
        organisation = organisation_id(operator)
        if operators.setdefault(organisation, operator) != operator:
            raise ConfigError(f"{where}: operators {operators[organisation]!r} and {operator!r} would share the id {organisation}: rename one")
        state = _text(row, "state", where)
        if state not in REGIONS:
            raise ConfigError(f"{where}: state {state!r} is unknown: use one of {', '.join(REGIONS)}")
        stations.append(
            Station(
                entity=f"ST-{len(stations) + 1:0{width}d}",
                organisation=organisation,
                operator=operator,
                name=facility,
                region=REGIONS[state],
                fuel=fuel,
                unit_class=unit_class(fuel),
                power_kwh=1000 * _whole(row, "production_mwh", where),
                scope1_t=_whole(row, "scope1_tco2e", where),
                scope2_t=_whole(row, "scope2_tco2e", where),
                row=lines[number - 1].encode(),
            )
        )
    return tuple(stations)


def unit_class(fuel: str) -> str:
    """The benchmark class of a fuel under `demo-nger`, or "" where none applies."""
    name = fuel.lower()
    if name in CLASSES:
        return CLASSES[name]
    return "IV" if "gas" in name or "methane" in name else ""


def read_prices(path: Path) -> tuple[DayPrice, ...]:
    """The trading days of a CSV file, in order. Raises `ConfigError` naming file, line and column."""
    _, rows = _rows(path, PRICE_COLUMNS)
    days: list[DayPrice] = []
    for number, row in rows:
        where = f"{path}, line {number}"
        try:
            day = date.fromisoformat(_text(row, "date", where))
        except ValueError:
            raise ConfigError(f"{where}: date {row['date']!r} isn't YYYY-MM-DD") from None
        opened, high, low, close = (_fen(row, column, where) for column in PRICE_COLUMNS[1:5])
        price = DayPrice(day, opened, high, low, close, _whole(row, "listed_volume_t", where))
        if not price.low_fen <= min(price.open_fen, price.close_fen) <= max(price.open_fen, price.close_fen) <= price.high_fen:
            raise ConfigError(f"{where}: open and close must lie between low and high")
        if days and day <= days[-1].day:
            raise ConfigError(f"{where}: {day} doesn't follow {days[-1].day}: sort the days")
        if price.low_fen <= 0 or price.volume_t <= 0:
            raise ConfigError(f"{where}: prices and the volume must be positive")
        days.append(price)
    return tuple(days)


def _rows(path: Path, columns: tuple[str, ...]) -> tuple[list[str], list[tuple[int, dict[str, str]]]]:
    try:
        text = path.read_text("utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{path}: can't be read ({error.strerror}): give the path of a CSV file") from None
    except UnicodeDecodeError:
        raise ConfigError(f"{path}: isn't UTF-8 text: save it as UTF-8 CSV") from None
    reader = csv.DictReader(io.StringIO(text, newline=""), restkey="", strict=True)
    missing = [c for c in columns if c not in (reader.fieldnames or ())]
    if missing:
        raise ConfigError(f"{path}, line 1: column {', '.join(missing)} is missing: the file needs {', '.join(columns)}")
    rows = []
    try:
        for row in reader:
            if "" in row or None in row.values():
                raise ConfigError(f"{path}, line {reader.line_num}: {len(reader.fieldnames or ())} columns are expected: quote a value that holds a comma")
            rows.append((reader.line_num, row))
    except csv.Error as error:
        raise ConfigError(f"{path}, line {reader.line_num}: {error}") from None
    if not rows:
        raise ConfigError(f"{path}: holds no row below its heading")
    return text.splitlines(), rows


def _text(row: dict[str, str], column: str, where: str) -> str:
    value = row[column].strip()
    if not value:
        raise ConfigError(f"{where}: column {column} is empty")
    return value


def _number(row: dict[str, str], column: str, where: str, convert: Callable[[str], _T], form: str) -> _T:
    try:
        return convert(_text(row, column, where))
    except (ValueError, InvalidOperation):
        raise ConfigError(f"{where}: column {column} is {row[column]!r}: it must be {form}") from None


def _whole(row: dict[str, str], column: str, where: str) -> int:
    value = _number(row, column, where, int, "a whole number")
    if value < 0:
        raise ConfigError(f"{where}: column {column} is {value}: it can't be negative")
    return value


def _fen(row: dict[str, str], column: str, where: str) -> int:
    fen = _number(row, column, where, Decimal, "a price in yuan with at most two decimals") * 100
    if fen != fen.to_integral_value():
        raise ConfigError(f"{where}: column {column} is {row[column]!r}: a price has at most two decimals (one fen is the tick)")
    return int(fen)
