"""Keys: those of the ledger's own data inside the state (under `s/`), and those of the executor's database.

State keys are part of the state root and known to every node. Database keys have a one-byte kind in front:

| kind | key | value |
|---|---|---|
| `v` | state key | salt (16) and the encoded value |
| `n` | path, one ASCII hex digit a level | node record of the state tree |
| `u` | height | undo record: leaf records as they were before the block |
| `h` | height | header, kept as long as the undo record |
| `i` | height | ids of the transactions executed at the height, one after another |
| `m` | `tip`, `genesis`, `base` | where the ledger stands; block 0's outcome; the height of the snapshot it began from |
"""

from typing import Final

# State keys.
CODE: Final = b"s/code/"
VERSIONS: Final = b"s/version/"
EPOCH: Final = b"s/epoch"
PENDING: Final = b"s/pending/"
DECIDED: Final = b"s/decided"
OUTCOMES: Final = b"s/outcomes/"
CHECKED: Final = b"s/checked"
REPORTS: Final = b"s/reports/"
JOBS: Final = b"s/jobs/"
JOB_SEQUENCE: Final = b"s/job-sequence"
JOB_COUNTS: Final = b"s/job-count/"
SEQUENCES: Final = b"s/sequence/"
SECRET: Final = b"s/secret"

# Database kinds.
VALUE: Final = b"v"
NODE: Final = b"n"
UNDO: Final = b"u"
HEADER: Final = b"h"
IDS: Final = b"i"
TIP: Final = b"mtip"
GENESIS: Final = b"mgenesis"
BASE: Final = b"mbase"


def code_key(contract: str) -> bytes:
    """Where a contract's (version, source hash, source) lies."""
    return CODE + contract.encode("ascii")


def version_key(contract: str, version: int) -> bytes:
    """Where the (source hash, source) of a version that was replaced lies."""
    return VERSIONS + contract.encode("ascii") + b"/" + version.to_bytes(8, "big")


def sequence_key(audience: str) -> bytes:
    """Where the number of events addressed to an audience ("" is public) lies."""
    return SEQUENCES + audience.encode()


def job_key(at_ms: int, sequence: int) -> bytes:
    """Where a scheduled call lies: byte order is (time, sequence) order."""
    return JOBS + at_ms.to_bytes(8, "big") + sequence.to_bytes(8, "big")


def height_key(kind: bytes, height: int) -> bytes:
    """A database key of one height."""
    return kind + height.to_bytes(8, "big")


def prefix_end(prefix: bytes) -> bytes | None:
    """The smallest key above every key that starts with `prefix`; None if there is none."""
    bound = prefix.rstrip(b"\xff")
    return bound[:-1] + bytes((bound[-1] + 1,)) if bound else None
