"""The exception tree, by blame.

```
CarbonnodeError
├── ConfigError            the operator's file or argument is wrong
├── InvalidTransaction     the sender's transaction is wrong          (code)
├── InvalidBlock           a block, certificate or proof is wrong
├── PeerViolation          a peer broke the protocol                  (code)
├── ContractError          a contract or a call of it is refused      (code)
├── StorageError           the disk or what lies on it is at fault
│   └── DiskFull           there is no space left to be safe
├── KeystoreError          a key file or its passphrase is wrong
├── RemoteError            the node that was asked refused or failed  (code)
└── InvariantViolation     our own bug: stop, nothing may be saved
```

Every message says what happened, to which thing, and what to do. `code` is stable: programs may match on it.
"""


class CarbonnodeError(Exception):
    """Base of every error this project raises on purpose."""

    code: str = "error"

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        if code is not None:
            self.code = code


class ConfigError(CarbonnodeError):
    """The operator's configuration, argument or genesis is wrong."""

    code = "config"


class InvalidTransaction(CarbonnodeError):
    """A transaction is malformed, badly signed, for another chain, expired or repeated."""

    code = "invalid-transaction"


class InvalidBlock(CarbonnodeError):
    """A batch, header, certificate or proof doesn't hold."""

    code = "invalid-block"


class PeerViolation(CarbonnodeError):
    """A peer broke the protocol; `code` names how."""

    code = "peer-violation"


class ContractError(CarbonnodeError):
    """A contract's source, or a call of a contract, is refused."""

    code = "contract"


class StorageError(CarbonnodeError):
    """The disk, or what lies on it, is at fault; the message names the file and the remedy."""

    code = "storage"


class DiskFull(StorageError):
    """No space is left to write safely; the node stops voting and resumes when there is space."""

    code = "disk-full"


class KeystoreError(CarbonnodeError):
    """A key file is missing or damaged, or the passphrase doesn't open it."""

    code = "keystore"


class RemoteError(CarbonnodeError):
    """The node that was asked refused or failed; `code` is the one it gave."""

    code = "remote"


class InvariantViolation(CarbonnodeError):
    """An invariant of our own is broken: stop loudly, write nothing more."""

    code = "invariant"
