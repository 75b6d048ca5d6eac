"""The interpreter that contracts may run on: one whose flags change nothing of what code does."""

import sys

from carbonnode.errors import ConfigError


def require_plain_interpreter() -> None:
    """Refuse flags under which this process would behave otherwise than its peers.

    `-O` and `-OO` drop our own assertions and docstrings, `-b` and `-bb` turn a comparison of bytes with text, which a dict may make inside, into
    a warning or an error. Raises `ConfigError` (`interpreter-flags`) naming the flag.
    """
    if sys.flags.optimize:
        raise ConfigError(
            "Python runs with -O (or PYTHONOPTIMIZE is set), which drops checks that a node must make: start it without", code="interpreter-flags"
        )
    if sys.flags.bytes_warning:
        raise ConfigError("Python runs with -b, under which contracts could end otherwise than on other nodes: start it without", code="interpreter-flags")
