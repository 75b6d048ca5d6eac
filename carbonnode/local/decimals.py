"""Decimal texts and scaled integers: how files and tables write what contracts compute with. No float comes in between."""

import re
from typing import Final

from carbonnode.errors import ConfigError

_DECIMAL: Final = re.compile(r"([+-]?)([0-9]{1,60})(?:\.([0-9]{1,60}))?")


def to_scaled(text: str | int, places: int, what: str) -> int:
    """`text` x 10^places, exact. `what` names the value in the error. Raises `ConfigError` for no decimal, or more places than `places`."""
    if isinstance(text, bool):
        raise ConfigError(f"{what}: {text} is no number: write a decimal such as 12.5")
    match = _DECIMAL.fullmatch(str(text).strip())
    if match is None:
        raise ConfigError(f"{what}: {text!r} is no decimal number: write digits with a point, such as 12.5")
    sign, whole, fraction = match.group(1), match.group(2), (match.group(3) or "").rstrip("0")
    if len(fraction) > places:
        allowed = f"has more than {places} decimal places" if places else "must be a whole number: count in the smallest unit (tonnes, fen)"
        raise ConfigError(f"{what}: {text!r} {allowed}")
    number = int(whole + fraction.ljust(places, "0"))
    return -number if sign == "-" else number


def from_scaled(number: int, places: int, *, trim: bool = False) -> str:
    """`number` / 10^places as a decimal text with `places` places; `trim` drops zeros at the end."""
    sign, digits = ("-" if number < 0 else ""), str(abs(number)).rjust(places + 1, "0")
    if places == 0:
        return sign + digits
    whole, fraction = digits[:-places], digits[-places:]
    if trim:
        fraction = fraction.rstrip("0")
    return sign + whole + ("." + fraction if fraction else "")
