"""How a run ends early, and which exceptions a contract may cause."""

from collections.abc import Mapping
from types import MappingProxyType, TracebackType
from typing import Final

from carbonnode.vm import codes

CONTRACT_FILE: Final = "<contract "
"""Compiled contract code carries this, and the contract's name, as its file name."""
GUARD_FILES: Final = ("/vm/operators.py", "/vm/comparisons.py", "/vm/functions.py", "/vm/methods.py", "/vm/fixed.py")
"""Guards and built-ins let CPython's own errors about a contract's values pass through them."""


class ContractAbort(Exception):
    """The call fails with a code: by `abort`, `require`, or a guard."""

    def __init__(self, code: str) -> None:
        super().__init__(code)
        self.code = code


class OutOfGas(BaseException):
    """The gas limit is used up. Not an `Exception`: nothing inside the VM can go on after it."""


_CODES: Final[Mapping[type[Exception], str]] = MappingProxyType(
    {
        KeyError: codes.KEY,
        IndexError: codes.INDEX,
        ZeroDivisionError: codes.ZERO_DIVISION,
        OverflowError: codes.OVERFLOW,
        TypeError: codes.TYPE,
        NameError: codes.UNBOUND,
        UnboundLocalError: codes.UNBOUND,
        ValueError: codes.VALUE,
        UnicodeDecodeError: codes.VALUE,
        UnicodeEncodeError: codes.VALUE,
    }
)


def failure_code(error: Exception) -> str:
    """The code of a failure that a contract caused. Raises the error again if none can have: a bug of ours, or of the state's."""
    if isinstance(error, ContractAbort):
        return error.code
    code = _CODES.get(type(error))
    if code is None:
        for kind, known in _CODES.items():
            if isinstance(error, kind):
                code = known
    innermost = _frames(error.__traceback__)[-1][0] if error.__traceback__ else ""
    if code is None or not (innermost.startswith(CONTRACT_FILE) or innermost.endswith(GUARD_FILES)):
        raise error
    return code


def failure_place(error: BaseException) -> str:
    """"contract:line" of the innermost contract code that an error passed through; "" if there is none."""
    for name, line in reversed(_frames(error.__traceback__)):
        if name.startswith(CONTRACT_FILE):
            return f"{name[len(CONTRACT_FILE) : -1]}:{line}"
    return ""


def _frames(trace: TracebackType | None) -> list[tuple[str, int]]:
    found = []
    while trace is not None:
        found.append((trace.tb_frame.f_code.co_filename, trace.tb_lineno))
        trace = trace.tb_next
    return found
