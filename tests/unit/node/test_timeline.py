"""The phases of a fail-over, read from survivors' logs."""

from pathlib import Path

from tests.load.timeline import PHASES, Timeline, explain, log_time_ms, read_events, timeline

START = "2026-11-21T12:00:00"


def line(ms: int, event: str, **more: object) -> str:
    fields = "".join(f',"{key}":{value if isinstance(value, int) else chr(34) + str(value) + chr(34)}' for key, value in more.items())
    return f'{{"time":"{START}.{ms:03d}Z","level":"info","event":"{event}","node":"x"{fields}}}'


def survivor(path: Path, shift: int) -> Path:
    lines = [
        line(shift, "peer down", peer="a", reason="closed"), line(210 + shift, "primary suspected", epoch=0, view=4),
        line(220 + shift, "view left", epoch=0, view=4), line(260 + shift, "view entered", epoch=0, view=5), line(1, "block", height=7),
    ]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_phases_come_from_the_slowest_that_counts(tmp_path: Path) -> None:
    killed = log_time_ms(f"{START}.000Z")
    events = [read_events(survivor(tmp_path / str(shift), shift), killed) for shift in (5, 10, 40)]
    found = timeline(events, "a", 4, killed, 350.0)
    # Closed at all; suspected by the second of three (f + 1 = 2); left by all three (q = 3); entered by all.
    assert found == Timeline((40.0, 220.0, 260.0, 300.0, 350.0), 1)
    assert list(found.durations.values()) == [40.0, 180.0, 40.0, 40.0, 50.0]
    assert [row["phase"] for row in explain([found, found])] == list(PHASES)


def test_a_survivor_that_was_pulled_along_does_not_hide_the_rest(tmp_path: Path) -> None:
    killed = log_time_ms(f"{START}.000Z")
    events = [read_events(survivor(tmp_path / str(shift), shift), killed) for shift in (5, 10)]
    pulled = [{"event": "view entered", "view": 6, "at_ms": killed + 400}]
    found = timeline([*events, pulled], "a", 4, killed, 500.0)
    assert found.marks_ms == (220.0, 220.0, 400.0, 400.0, 500.0)
    assert found.views == 2
