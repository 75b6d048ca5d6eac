"""Named crash points: tests make a process kill itself at an exact place (issue 2: before and after each persist, send and finalise).

`CARBONNODE_CRASH_AT=name:count` makes the process send itself SIGKILL when point `name` is reached for the `count`-th time (1 is the first).
Without the variable a point costs one attribute read. An instance is made by the composition root and passed to whoever has points.
"""

import os
import signal
from collections.abc import Mapping

from carbonnode.errors import ConfigError

VARIABLE = "CARBONNODE_CRASH_AT"

POINTS = (
    "persist.before",
    "persist.after",
    "send.before",
    "send.after",
    "blockstore.before",
    "blockstore.after",
    "finalise.before",
    "finalise.after",
    "execute.before",
    "execute.after",
    "flush.before",
    "flush.after",
)
"""The points that every running validator passes; `send.*` lie in the driver, `execute.*`, `finalise.*` and `flush.*` in the executor process."""

SNAPSHOT_POINTS = ("snapshot.work", "snapshot.named", "fetch.chunk", "install.ready", "install.state", "install.blocks")
"""Those of snapshots: a slice of writing one (executor process); one is complete; a chunk came in; the steps of an install."""


class CrashPoints:
    """Counts how often each point is reached and kills the process at the chosen one."""

    def __init__(self, name: str = "", count: int = 0) -> None:
        if name and name not in POINTS + SNAPSHOT_POINTS:
            raise ConfigError(f"{VARIABLE} names the unknown crash point {name!r}: choose one of {', '.join(POINTS + SNAPSHOT_POINTS)}")
        self._name = name
        self._left = count
        self.armed = bool(name)

    @classmethod
    def from_environment(cls, environment: Mapping[str, str]) -> "CrashPoints":
        """Read `CARBONNODE_CRASH_AT`. Raises `ConfigError` if it isn't `name:count` with a known name and a count of at least 1."""
        text = environment.get(VARIABLE, "")
        if not text:
            return cls()
        name, _, count = text.partition(":")
        if not count.isascii() or not count.isdigit() or int(count) < 1:
            raise ConfigError(f"{VARIABLE}={text!r} isn't name:count with a count of at least 1")
        return cls(name, int(count))

    def reach(self, name: str) -> None:
        """Mark that execution is at `name`; doesn't return if this is the chosen moment."""
        if not self.armed or name != self._name:
            return
        self._left -= 1
        if self._left <= 0:
            os.kill(os.getpid(), signal.SIGKILL)
