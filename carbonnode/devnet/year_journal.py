"""The year's signed transactions on disk, by key: a run that broke off goes on with the very same bytes, so nothing is ever done twice."""

import os
from base64 import b64decode, b64encode
from pathlib import Path

import msgspec

from carbonnode.chain.transaction import Transaction
from carbonnode.errors import CarbonnodeError, ConfigError

FILE = "transactions.ndjson"


class _Line(msgspec.Struct, forbid_unknown_fields=True):
    key: str
    raw: str


class YearJournal:
    """Appends each transaction before it is sent. The newest line of a key counts: an expired transaction is signed anew.

    The file holds secret nonces, so only its owner may read it. Raises `ConfigError` if what is there can't be read.
    """

    def __init__(self, directory: Path) -> None:
        directory.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._path = directory / FILE
        self._known = self._read()
        self._file = os.open(self._path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)

    def __len__(self) -> int:
        return len(self._known)

    def get(self, key: str) -> Transaction | None:
        """What was signed under this key before."""
        return self._known.get(key)

    def put(self, signed: dict[str, Transaction]) -> None:
        """Keep transactions, before they are sent."""
        lines = [msgspec.json.encode(_Line(key, b64encode(tx.raw).decode("ascii"))) + b"\n" for key, tx in signed.items()]
        os.write(self._file, b"".join(lines))
        self._known.update(signed)

    def close(self) -> None:
        """Close the file."""
        os.close(self._file)

    def _read(self) -> dict[str, Transaction]:
        known: dict[str, Transaction] = {}
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return known
        for number, line in enumerate(data.splitlines(keepends=True), 1):
            if not line.endswith(b"\n"):
                # Cut short when its writer was killed: it was never sent.
                os.truncate(self._path, len(data) - len(line))
                break
            try:
                entry = msgspec.json.decode(line, type=_Line)
                known[entry.key] = Transaction.decode(b64decode(entry.raw, validate=True))
            except (msgspec.DecodeError, ValueError, CarbonnodeError) as error:
                raise ConfigError(f"{self._path}, line {number}: {error}: remove the devnet's directory and begin anew") from None
        return known
