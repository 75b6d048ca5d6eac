"""What the survivors of a killed primary did, and when, from their own logs: where the time of a fail-over goes."""

from calendar import timegm
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from time import strptime
from typing import Any

import msgspec

from carbonnode.chain.quorum import faults, quorum

EVENTS = ("peer down", "primary suspected", "view left", "view entered")
PHASES = ("link seen closed", "suspected by f+1", "view left by a quorum", "new view entered by all", "block certified by all")


@dataclass(frozen=True)
class Timeline:
    """One kill; ms from it to the end of each of `PHASES`, and how many views it took."""

    marks_ms: tuple[float, ...]
    views: int

    @property
    def durations(self) -> dict[str, float]:
        """Milliseconds that each phase took after the one before. Phases may overlap by a little: never below 0."""
        before = (0.0, *self.marks_ms[:-1])
        return {phase: max(0.0, end - begin) for phase, begin, end in zip(PHASES, before, self.marks_ms, strict=True)}


def log_time_ms(text: str) -> int:
    """Milliseconds since 1970 of a log line's time, e.g. 2026-11-21T12:00:00.123Z."""
    return timegm(strptime(text[:19], "%Y-%m-%dT%H:%M:%S")) * 1000 + int(text[20:23])


def read_events(path: Path, since_ms: int) -> list[dict[str, Any]]:
    """A node's lines of `EVENTS` from a moment on, with `at_ms`."""
    found = []
    for line in path.read_bytes().splitlines():
        if any(f'"event":"{event}"'.encode() in line for event in EVENTS):
            event = msgspec.json.decode(line)
            event["at_ms"] = log_time_ms(event["time"])
            if event["at_ms"] >= since_ms:
                found.append(event)
    return found


def first(events: Iterable[Mapping[str, Any]], kind: str, **wanted: object) -> float:
    """When this first happened; infinity if it didn't."""
    times = [e["at_ms"] for e in events if e["event"] == kind and all(e.get(key) == value for key, value in wanted.items())]
    return float(min(times, default=float("inf")))


def timeline(events: Sequence[Sequence[Mapping[str, Any]]], victim: str, view: int, killed_ms: float, certified_ms: float) -> Timeline:
    """From the survivors' events. `view` is the one the victim led; `certified_ms` after the kill the first block of a later view was certified by all."""
    validators = len(events) + 1
    closed = max(first(e, "peer down", peer=victim) for e in events)
    suspected = sorted(first(e, "primary suspected", view=view) for e in events)[faults(validators)]
    left = sorted(min((first(e, "view left", view=v) for v in (view, view + 1, view + 2)), default=float("inf")) for e in events)[quorum(validators) - 1]
    entered = [[e for e in node if e["event"] == "view entered" and e["view"] > view] for node in events]
    all_entered = max(float(min((e["at_ms"] for e in node), default=float("inf"))) for node in entered)
    last_view = max((int(e["view"]) for node in entered for e in node), default=view)
    marks = [mark - killed_ms for mark in (closed, suspected, left, all_entered)]
    # A survivor that is pulled along says some of it never or later: what ended a phase is then the next phase's own beginning.
    known = [*marks, certified_ms]
    for place in range(len(known) - 2, -1, -1):
        known[place] = min(known[place], known[place + 1])
    return Timeline(tuple(known), last_view - view)


def explain(timelines: Sequence[Timeline], tail: float = 0.9) -> list[dict[str, float | str]]:
    """Each phase's share: median of all kills, median and maximum of the slowest tenth."""
    slow = sorted(timelines, key=lambda t: t.marks_ms[-1])[int(len(timelines) * tail) :]
    rows: list[dict[str, float | str]] = []
    for phase in PHASES:
        every, late = [t.durations[phase] for t in timelines], [t.durations[phase] for t in slow]
        rows.append({"phase": phase, "median_ms": median(every), "max_ms": max(every), "slowest_median_ms": median(late)})
    return rows
