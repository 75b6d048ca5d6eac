"""When garbage is looked for: a list that holds itself is freed by the collector alone, which counts objects, not bytes (docs/adr/0024).

What runs leave behind is bounded by the gas they used. So the collector runs before the gas used since it ran last, and the limit of what runs next,
would together be more than one run may have.
"""

from collections.abc import Callable
from typing import Final

GARBAGE_GAS: Final = 20_000_000


class Garbage:
    """Calls `collect` in time."""

    def __init__(self, collect: Callable[[], object], every_gas: int = GARBAGE_GAS) -> None:
        self._collect = collect
        self._every = every_gas
        self._used = 0

    def before(self, gas_limit: int) -> None:
        """Something may use so much gas now."""
        if self._used and self._used + gas_limit > self._every:
            self._collect()
            self._used = 0

    def after(self, gas_used: int) -> None:
        """It used so much."""
        self._used += gas_used
