"""Every consensus event and action as NDJSON, so that a production trace can be read, and replayed in the simulator. Off by default: it costs."""

from pathlib import Path
from typing import Any

import msgspec

from carbonnode.chain.batch import Batch
from carbonnode.chain.validators import ValidatorSet
from carbonnode.consensus.actions import AnyAction
from carbonnode.consensus.events import AnyEvent
from carbonnode.node.logs import LogFile

MAX_BYTES = 256 * 1024 * 1024


def _plain(value: object) -> Any:
    if isinstance(value, Batch):
        return {"digest": value.digest.hex(), "time_ms": value.time_ms, "transactions": len(value.wire_hashes)}
    if isinstance(value, ValidatorSet):
        return [v.name for v in value.validators]
    if isinstance(value, bytes):
        return value.hex()
    return str(value)


def _struct(value: object) -> dict[str, Any]:
    fields = {name: getattr(value, name) for name in getattr(value, "__struct_fields__", ())}
    return {"kind": type(value).__name__, **{name: _field(item) for name, item in fields.items()}}


def _field(value: object) -> Any:
    if isinstance(value, msgspec.Struct):
        return _struct(value)
    if isinstance(value, tuple):
        return [_field(item) for item in value]
    if isinstance(value, bytes):
        return value.hex()
    return value


class FileRecorder:
    """Appends one line per step to a file."""

    def __init__(self, path: Path) -> None:
        self._file = LogFile(path, MAX_BYTES)

    def record(self, event: AnyEvent, actions: tuple[AnyAction, ...]) -> None:
        """Write one step."""
        line = {"event": _struct(event), "actions": [_struct(action) for action in actions]}
        self._file.msg(msgspec.json.encode(line, enc_hook=_plain).decode())

    def close(self) -> None:
        """Close the file."""
        self._file.close()
