"""A price chart for the terminal: one candle a day, volumes below."""

from collections.abc import Mapping, Sequence
from typing import Any

BARS = " ▁▂▃▄▅▆▇█"
UP, DOWN, QUIET = "green", "red", "dim"
_WIDTH = 6


def candles(days: Sequence[Mapping[str, Any]], rows: int = 12) -> list[str]:
    """Lines with rich markup: a price axis in yuan, a candle a day (body open to close, wick low to high), volumes and dates."""
    if not days:
        return []
    top, bottom = max(d["high_fen"] for d in days), min(d["low_fen"] for d in days)
    step = max(1, -(-(top - bottom + 1) // rows))
    lines = []
    for row in range(rows):
        # This row stands for the prices from `low` up to, not including, `low + step`.
        low = top + 1 - (row + 1) * step
        label = f"{(low + step - 1) / 100:6.2f} " if row % 3 == 0 else " " * 7
        lines.append(f"[{QUIET}]{label}│[/]" + "".join(_cell(day, low, low + step) for day in days))
    most = max(d["volume_t"] for d in days)
    volumes = "".join(_column(BARS[-(-8 * d["volume_t"] // most) if most else 0] * 3) for d in days)
    lines.append(f"[{QUIET}]    kt │[/][cyan]{volumes}[/]")
    lines.append(f"[{QUIET}]       │[/]" + "".join(_column(f"{d['volume_t'] // 1000}") for d in days))
    lines.append(f"[{QUIET}]       └" + "─" * (_WIDTH * len(days)) + "[/]")
    lines.append(" " * 8 + "".join(_column(d["date"][5:]) for d in days))
    return lines


def _cell(day: Mapping[str, Any], low: int, above: int) -> str:
    upper, lower = max(day["open_fen"], day["close_fen"]), min(day["open_fen"], day["close_fen"])
    style = UP if day["close_fen"] >= day["open_fen"] else DOWN
    if lower < above and upper >= low:
        return f"[{style}]{_column('███')}[/]"
    if day["low_fen"] < above and day["high_fen"] >= low:
        return f"[{style}]{_column('│')}[/]"
    return " " * _WIDTH


def _column(text: str) -> str:
    return text.center(_WIDTH)
