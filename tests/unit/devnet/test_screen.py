import io

from rich.cells import cell_len
from rich.console import Console
from rich.text import Text

from carbonnode.devnet.chart import candles
from carbonnode.devnet.screen import Screen, hyphens, yuan
from carbonnode.devnet.year_ports import DayFigures

DAYS = [
    {"date": "2025-11-19", "open_fen": 6196, "high_fen": 6794, "low_fen": 6196, "close_fen": 6686, "volume_t": 668_196, "amount_fen": 1, "trades": 39},
    {"date": "2025-11-20", "open_fen": 6686, "high_fen": 6700, "low_fen": 5900, "close_fen": 6000, "volume_t": 1, "amount_fen": 1, "trades": 1},
]


def plain(lines: list[str]) -> list[str]:
    return [Text.from_markup(line).plain for line in lines]


def test_a_candle_has_its_body_between_open_and_close_and_a_wick_beyond() -> None:
    lines = plain(candles(DAYS, rows=10))
    first = [line[8:14] for line in lines[:10]]
    second = [line[14:20] for line in lines[:10]]
    # 5,900 to 6,794 in ten rows of 90 fen: the rising day fills rows 1 to 6, the high is a wick in row 0.
    assert [("body" if "█" in c else "wick" if "│" in c else "") for c in first] == ["wick"] + ["body"] * 6 + [""] * 3
    assert [("body" if "█" in c else "wick" if "│" in c else "") for c in second] == [""] + ["body"] * 8 + ["wick"]
    assert "11-19" in lines[-1]


def test_the_chart_of_ten_days_fits_eighty_columns() -> None:
    assert max(cell_len(line) for line in plain(candles(DAYS * 5))) <= 78


def test_no_days_no_chart() -> None:
    assert candles([]) == []


def test_money_and_codes_for_people() -> None:
    assert yuan(1_234_567) == "12,345.67"
    assert yuan(5) == "0.05"
    assert hyphens("1TCNSH20251119143207CEA24000004120OH") == "1T-CNSH-20251119-143207-CEA24-00000412-0-OH"


def test_without_a_terminal_progress_is_one_line_a_part() -> None:
    out = io.StringIO()
    with Screen(Console(file=out, width=100)) as screen:
        screen.phase("stations register", 187)
        screen.advance(187)
        screen.phase("trading day 2025-11-19", 10)
        screen.advance(3, "B 61.96")
        screen.day(DayFigures("2025-11-19", 6196, 6794, 6196, 6686, 668_196, 1, 39))
    lines = out.getvalue().splitlines()
    assert len(lines) == 2
    assert "stations register" in lines[0]
    assert "187 transactions" in lines[0]
    assert "close 66.86" in lines[1]
