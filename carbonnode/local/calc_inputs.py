"""What the calculators read: a JSON document, or a CSV file with a header line; and typed access to its fields with errors that name them."""

import csv
import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from carbonnode.errors import ConfigError
from carbonnode.local.decimals import to_scaled

Row = Mapping[str, Any]


def read(path: Path) -> Any:
    """The JSON document of `path`, numbers with a point kept as text; or the rows of a CSV file. Raises `ConfigError` naming the file."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise ConfigError(f"{path}: can't be read: {error.strerror or error}: check the path") from None
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: is no UTF-8 text ({error.reason} at byte {error.start}): save it as UTF-8") from None
    if path.suffix.lower() == ".csv":
        return [dict(row) for row in csv.DictReader(io.StringIO(text), skipinitialspace=True)]
    try:
        # A decimal is never turned into a float on the way: 0.7910 stays the text it was.
        return json.loads(text, parse_float=str)
    except (json.JSONDecodeError, RecursionError) as error:
        raise ConfigError(f"{path}: no JSON document: {error}") from None


def rows(document: Any, known: Iterable[str], what: str) -> list[Row]:
    """The list of records in a document (one record counts as a list). Raises `ConfigError` for an unknown field, by row and name."""
    found = [document] if isinstance(document, dict) else document
    if not isinstance(found, list) or not found:
        raise ConfigError(f"{what}: the input must be a list of records with {', '.join(known)}")
    fields = set(known)
    for number, row in enumerate(found, 1):
        if not isinstance(row, dict):
            raise ConfigError(f"{what}, record {number}: {row!r} is no record: write fields and values")
        for field in row:
            if field is None:
                raise ConfigError(f"{what}, record {number}: it has more values than the header line has fields: {', '.join(row[field])}")
            if field not in fields:
                raise ConfigError(f"{what}, record {number}: the field {field!r} is unknown: the fields are {', '.join(known)}")
    return found


def text(row: Row, field: str, where: str, default: str | None = None) -> str:
    """A text field."""
    value = row.get(field)
    if value is None or value == "":
        if default is None:
            raise ConfigError(f"{where}: the field {field!r} is missing")
        return default
    if isinstance(value, bool | list | dict):
        raise ConfigError(f"{where}: {field} must be a text, not {value!r}")
    return str(value).strip()


def scaled(row: Row, field: str, places: int, where: str, default: int | None = None) -> int:
    """A decimal field x 10^places."""
    value = row.get(field)
    if value is None or value == "":
        if default is None:
            raise ConfigError(f"{where}: the field {field!r} is missing")
        return default
    if isinstance(value, list | dict):
        raise ConfigError(f"{where}: {field} must be a number, not {value!r}")
    return to_scaled(value, places, f"{where}: {field}")


def whole(row: Row, field: str, where: str, default: int | None = None) -> int:
    """A whole number field."""
    return scaled(row, field, 0, where, default)
