"""Structured logs: one JSON object a line in `logs/node.log`, made by structlog; no global configuration, loggers are passed in."""

import logging
import sys
import time
from collections.abc import Mapping, MutableMapping
from pathlib import Path
from typing import Any, cast

import msgspec
import structlog

from carbonnode.storage.space import FULL_ERRNOS

LEVELS = {"debug": logging.DEBUG, "info": logging.INFO, "warning": logging.WARNING, "error": logging.ERROR}
MAX_FILE_BYTES = 64 * 1024 * 1024
KEPT_FILES = 5

Logger = structlog.typing.FilteringBoundLogger


class LogFile:
    """An append-only file that starts anew at 64 MiB, keeping five old ones (`node.log.1` is the latest of them).

    A full disk costs lines, not the node: how many is said by the first line that fits again.
    """

    def __init__(self, path: Path, max_bytes: int = MAX_FILE_BYTES) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        self._path = path
        self._max_bytes = max_bytes
        self._file = path.open("ab", buffering=0)
        self._size = path.stat().st_size
        self._torn = False
        self.lost = 0
        """Lines that found no space since the last one that did."""

    def msg(self, message: str) -> None:
        """Write a line at once: after a crash the log ends where the process did. Raises `OSError` if the disk fails, but not if it is full."""
        if self.lost:
            message = f'{{"level":"warning","event":"log lines lost","lines":{self.lost},"why":"the disk was full"}}\n{message}'
        data = (b"\n" if self._torn else b"") + message.encode() + b"\n"
        try:
            written = self._file.write(data)
        except OSError as error:
            if error.errno not in FULL_ERRNOS:
                raise
            written = 0
        self._size += written
        if written < len(data):
            self._torn = self._torn or written > 0
            self.lost += 1
            return
        self._torn, self.lost = False, 0
        if self._size > self._max_bytes:
            self._roll()

    log = debug = info = warning = warn = error = critical = exception = fatal = failure = err = msg

    def _roll(self) -> None:
        self._file.close()
        for number in range(KEPT_FILES - 1, 0, -1):
            older = self._path.with_name(f"{self._path.name}.{number}")
            if older.exists():
                older.replace(self._path.with_name(f"{self._path.name}.{number + 1}"))
        self._path.replace(self._path.with_name(f"{self._path.name}.1"))
        self._file = self._path.open("ab", buffering=0)
        self._size = 0

    def close(self) -> None:
        """Close the file."""
        self._file.close()


class ConsoleFile:
    """The same interface over standard error, for commands without a node directory."""

    def msg(self, message: str) -> None:
        """Write a line."""
        sys.stderr.write(message + "\n")

    log = debug = info = warning = warn = error = critical = exception = fatal = failure = err = msg

    def close(self) -> None:
        """Nothing to close."""


def _plain(value: object) -> object:
    return str(value)


def _stamp(_logger: object, _method: str, event: MutableMapping[str, Any]) -> MutableMapping[str, Any]:
    now = time.time_ns() // 1_000_000
    seconds, millis = divmod(now, 1000)
    event["time"] = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(seconds)) + f".{millis:03d}Z"
    return event


def _render(_logger: object, _method: str, event: MutableMapping[str, Any]) -> str:
    for key, value in event.items():
        if isinstance(value, bytes):
            event[key] = value.hex()
    ordered: Mapping[str, Any] = {"time": event.pop("time"), "level": event.pop("level"), "event": event.pop("event"), **event}
    return msgspec.json.encode(ordered, enc_hook=_plain).decode()


def make_logger(target: LogFile | ConsoleFile, level: str, **context: object) -> Logger:
    """A logger that writes NDJSON to `target`; `context` stands on every line."""
    logger = structlog.wrap_logger(
        target,
        processors=[
            structlog.stdlib.add_log_level,
            structlog.processors.format_exc_info,
            _stamp,
            _render,
        ],
        wrapper_class=structlog.make_filtering_bound_logger(LEVELS[level]),
        cache_logger_on_first_use=True,
    )
    return cast(Logger, logger.bind(**context))
