"""What the market year needs: a chain to act on, and somebody who watches."""

from collections.abc import Sequence
from typing import Protocol

import msgspec

from carbonnode.chain.transaction import Call
from carbonnode.chain.values import Value
from carbonnode.errors import RemoteError

GAS_A_CALL = 1_000_000
"""Gas limit a call unless the request says otherwise; `tests/unit/devnet/test_year_local.py` holds it above what the year uses."""


class Request(msgspec.Struct, frozen=True):
    """One transaction to be: who signs, what it calls.

    `key` is unique in the year, so that a repeated or resumed run sends the very same signed transaction again and nothing happens twice. `expect` is
    the outcome's code ("" for OK): anything else stops the year. `organisation` may have a node of its own, which takes it first.
    """

    key: str
    signer: str
    calls: tuple[Call, ...]
    expect: str = ""
    organisation: str = ""
    gas_limit: int = 0

    @property
    def gas(self) -> int:
        """The gas limit to sign."""
        return self.gas_limit or GAS_A_CALL * len(self.calls)


class Done(msgspec.Struct, frozen=True):
    """A final transaction."""

    key: str
    tx_id: bytes
    height: int
    values: tuple[Value, ...]
    code: str = ""


class Market(Protocol):
    """A chain with the market's contracts, and the wallets of its participants."""

    async def execute(self, requests: Sequence[Request]) -> list[Done]:
        """Send them together, wait until all are final, in any block order. Raises `YearError` on an outcome that isn't expected."""
        ...

    async def view(self, contract: str, view: str, *args: Value, signer: str = "") -> Value:
        """Ask a view, signed by a wallet unless that is "". Raises `YearError` if it aborts."""
        ...

    def open_wallets(self, names: Sequence[str]) -> None:
        """Make the wallets that don't exist yet."""
        ...


class Watcher(Protocol):
    """Who follows the year: the terminal, or nobody."""

    def phase(self, title: str, total: int) -> None:
        """A part of the year begins; `total` transactions belong to it."""
        ...

    def advance(self, count: int, detail: str = "") -> None:
        """So many of them are final."""
        ...

    def day(self, figures: "DayFigures") -> None:
        """A trading day has closed."""
        ...


class DayFigures(msgspec.Struct, frozen=True):
    """A closed trading day as the market contract recorded it."""

    date: str
    open_fen: int
    high_fen: int
    low_fen: int
    close_fen: int
    volume_t: int
    amount_fen: int
    trades: int


class Silent:
    """A watcher who looks away."""

    def phase(self, title: str, total: int) -> None:
        """Nothing."""

    def advance(self, count: int, detail: str = "") -> None:
        """Nothing."""

    def day(self, figures: DayFigures) -> None:
        """Nothing."""


class YearError(RemoteError):
    """A step of the market year didn't go as planned; the message names the step and what the network answered."""

    code = "year"
