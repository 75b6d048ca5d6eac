"""Files with secrets: created once, readable by their owner only, durable before anyone relies on them."""

import os
from pathlib import Path

from carbonnode.errors import KeystoreError

_OTHERS = 0o077
_MAX_BYTES = 1024 * 1024


def write_new_file(path: Path, content: bytes) -> None:
    """Create `path` with mode 0600 and sync it. Raises `KeystoreError` if it exists or can't be written."""
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise KeystoreError(f"{path} exists already and isn't overwritten: choose another name or move it away") from None
    except OSError as error:
        raise KeystoreError(f"{path} can't be created: {error.strerror}") from None
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())
    _sync_directory(path.parent)


def replace_file(path: Path, content: bytes) -> None:
    """Replace `path` atomically by a file of mode 0600."""
    fresh = path.with_name(path.name + ".new")
    fresh.unlink(missing_ok=True)
    write_new_file(fresh, content)
    fresh.replace(path)
    _sync_directory(path.parent)


def read_private_file(path: Path, *, private: bool = True) -> bytes:
    """The content; refuses a secret file that others may read. Raises `KeystoreError`."""
    try:
        with path.open("rb") as file:
            mode = os.fstat(file.fileno()).st_mode
            content = file.read(_MAX_BYTES + 1)
    except FileNotFoundError:
        raise KeystoreError(f"{path} doesn't exist: create it first, or name the right directory") from None
    except OSError as error:
        raise KeystoreError(f"{path} can't be read: {error.strerror}") from None
    if private and mode & _OTHERS:
        raise KeystoreError(f"{path} can be read by others (mode {mode & 0o777:o}): run chmod 600 {path}")
    if len(content) > _MAX_BYTES:
        raise KeystoreError(f"{path} is larger than {_MAX_BYTES} bytes: it isn't a key file")
    return content


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
