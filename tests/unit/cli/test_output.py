"""What a person gets on a terminal: tables, and tables below them for what is within."""

import io
import json
from typing import Any

import pytest
from rich.console import Console

from carbonnode.cli.output import Output, show


def drawn(data: Any) -> list[list[str]]:
    """The words of each line that isn't empty."""
    stream = io.StringIO()
    show(Console(file=stream, width=100), data)
    return [line.split() for line in stream.getvalue().splitlines() if line.strip(" ─")]


def test_a_mapping_is_names_and_values() -> None:
    found = drawn({"height": 12_345, "ok": True, "note": None, "roots": ["a", "b"]})
    assert found == [["height", "12,345"], ["ok", "yes"], ["note", "-"], ["roots", "a,", "b"]]


def test_records_are_rows_under_a_header() -> None:
    assert drawn([{"id": "a", "price_fen": 6200}, {"id": "b", "price_fen": 5}]) == [["id", "price_fen"], ["a", "6200"], ["b", "5"]]


def test_records_within_stand_below_as_tables() -> None:
    trades = {"rules": "demo", "trades": [{"taker": "o2", "maker": "o1"}], "book": []}
    assert drawn(trades) == [["rules", "demo"], ["book"], ["trades"], ["taker", "maker"], ["o2", "o1"]]
    entities = [{"entity": "A", "units": [{"id": "u1", "power_t": "1.5"}]}, {"entity": "B", "units": []}]
    assert drawn(entities) == [["entity", "A"], ["units"], ["id", "power_t"], ["u1", "1.5"], ["entity", "B"], ["units"]]


def test_moments_are_dates_and_durations_numbers() -> None:
    status = {"time_ms": 1_735_779_624_729, "rtt_ms": 12_000, "heal_ms": 5, "until_ms": 1 << 62, "volume_t": 1_735_779_624_729}
    found = {line[0]: " ".join(line[1:]) for line in drawn(status)}
    assert found["time_ms"] == "2025-01-02 01:00:24.729Z"
    assert (found["rtt_ms"], found["heal_ms"], found["until_ms"]) == ("12,000", "5", f"{1 << 62:,}")
    assert found["volume_t"] == "1,735,779,624,729"
    assert drawn([{"height": 1, "time_ms": 1_735_779_624_729}]) == [["height", "time_ms"], ["1", "2025-01-02", "01:00:24.729Z"]]


def test_values_and_empty_lists_are_shown_as_they_are() -> None:
    assert drawn("[bold]not markup[/bold]") == [["[bold]not", "markup[/bold]"]]
    assert drawn({"bytes": {"hex": "00ff"}, "bids": [[1, 2], [3, 4]]}) == [["bytes", "0x00ff"], ["bids", "1,", "2,", "3,", "4"]]
    assert drawn([]) == []


def test_a_pipe_gets_one_json_document(capsys: pytest.CaptureFixture[str]) -> None:
    output = Output()
    assert output.json
    output.result({"trades": [{"id": 1}]})
    assert json.loads(capsys.readouterr().out) == {"trades": [{"id": 1}]}
