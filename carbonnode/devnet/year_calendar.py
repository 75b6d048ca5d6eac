"""The year's dates in market time: what happens when, and the clock transactions that take the network there."""

from datetime import UTC, date, datetime, time, timedelta

import msgspec

from carbonnode.devnet.year_data import DayPrice
from carbonnode.errors import ConfigError

MS_A_DAY = 86_400_000
COMPLIANCE_YEAR = 2024
"""Rule set `demo-nger`: emissions, vintage and obligation of this year, traded and surrendered in the year after."""
START = datetime(2025, 1, 2, 9, 0)  # noqa: DTZ001  market time, named by its zone's offset where it becomes ms
REGISTRATION = datetime(2025, 1, 6, 9, 0)  # noqa: DTZ001
REPORTING = datetime(2025, 3, 10, 9, 0)  # noqa: DTZ001
VERIFICATION = datetime(2025, 6, 2, 9, 0)  # noqa: DTZ001
ALLOCATION = datetime(2025, 9, 1, 9, 0)  # noqa: DTZ001


class TradingHours(msgspec.Struct, frozen=True):
    """The moments of a trading day at which the clock is set."""

    before_open: time = time(9, 25)
    morning: time = time(9, 30)
    afternoon: time = time(13, 0)
    after_close: time = time(15, 0)


HOURS = TradingHours()


def market_ms(moment: datetime, offset_ms: int) -> int:
    """A moment of the market's zone as ms since 1970; `offset_ms` is the zone's distance from UTC."""
    return round(moment.replace(tzinfo=UTC).timestamp()) * 1000 - offset_ms


def day_number(day: date) -> int:
    """Days since 1970-01-01, as the contracts count them."""
    return (day - date(1970, 1, 1)).days


def day_of_number(number: int) -> date:
    """The date of `day_number`."""
    return date(1970, 1, 1) + timedelta(days=number)


def check_days(prices: tuple[DayPrice, ...]) -> None:
    """Raise `ConfigError` unless the trading days lie between allocation and the surrender deadline, Monday to Friday."""
    for price in prices:
        if not ALLOCATION.date() < price.day < date(COMPLIANCE_YEAR + 1, 12, 30):
            raise ConfigError(f"{price.day}: the market year trades between {ALLOCATION.date()} and {COMPLIANCE_YEAR + 1}-12-30: give days in between")
        if price.day.isoweekday() > 5:
            raise ConfigError(f"{price.day} is a {price.day:%A}: the market is closed then")
