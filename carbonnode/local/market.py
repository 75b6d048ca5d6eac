"""A local market: every shipped contract, a rule set and five management members, one for each role."""

from collections.abc import Mapping, Sequence
from functools import cache
from typing import Final

from carbonnode import resources
from carbonnode.chain.hashing import blake2b_256
from carbonnode.chain.values import Value
from carbonnode.local import ruleset as rs
from carbonnode.local.chain import LocalChain, key_of
from carbonnode.vm.contract import Contract, compile_contract

ROLES: Final[Mapping[str, int]] = {
    "authority": rs.AUTHORITY,
    "verifier": rs.VERIFIER,
    "exchange": rs.EXCHANGE,
    "registry": rs.REGISTRY,
    "cash": rs.CASH,
}
MS_A_DAY: Final = rs.MS_A_DAY


@cache
def shipped_contract(name: str) -> Contract:
    """A shipped contract, checked once a process: contracts are immutable."""
    return compile_contract(name, resources.contract_source(name).encode())


class LocalMarket(LocalChain):
    """A `LocalChain` at the start of a rule set, with verbs for what tests and calculators do often. Names stand for keys (`key_of`).

    `also` are rule sets of other dates on the same chain; `market_time_ms` sets the market clock apart from block time.
    """

    def __init__(
        self,
        rules: rs.RuleSet,
        *,
        also: Sequence[rs.RuleSet] = (),
        at_ms: int | None = None,
        test_clock: bool = True,
        market_time_ms: int | None = None,
    ) -> None:
        super().__init__(rules.from_ms if at_ms is None else at_ms)
        self.rules = rules
        self._deposits = 0
        members = [rs.Member(name.upper() + "-1", name, role, key_of(name)) for name, role in ROLES.items()]
        self.genesis(rs.genesis_calls([rules, *also], members, test_clock=test_clock, epoch_blocks=10, market_time_ms=market_time_ms))

    def resolve(self, name: str) -> Contract | None:
        """The contract of a name; a shipped one is checked and compiled when it is first asked for."""
        if name not in self.contracts and name in rs.CONTRACTS:
            self.contracts[name] = shipped_contract(name)
        return self.contracts.get(name)

    def by(self, name: str, contract: str, method: str, *args: Value) -> Value:
        """A transaction by the key of `name`."""
        return self.call(contract, method, *args, sender=key_of(name))

    def ask(self, name: str, contract: str, method: str, *args: Value) -> Value:
        """A view signed by the key of `name`."""
        return self.view(contract, method, *args, sender=key_of(name))

    def refused(self, name: str, contract: str, method: str, *args: Value) -> str:
        """The code with which a transaction by the key of `name` is refused."""
        return self.refusal(contract, method, *args, sender=key_of(name))

    def member(self, entity: str, *, org: str = "", kind: str = "institution", region: int = 42) -> str:
        """Enter and approve a participant whose key is that of its id. Returns the registry account number."""
        number = self.by("authority", "identity", "admit", entity, org or entity, entity.title(), kind, "D4411", region, key_of(entity), bytes(32))
        return str(number)

    def vintage(self, year: int, cap_t: int = 10**11, reserve_t: int = 0) -> str:
        """Create the rule set's instrument if need be and open a vintage of it. Returns its id."""
        code = str(self.view("rules", "text", "", "instrument"))
        if not any(str(iv).startswith(code) for iv in self._ids()):
            self.by("registry", "allowance", "create_instrument", code, "carbon emission allowance", "CN", 42)
        return str(self.by("authority", "allowance", "open_vintage", code, year, cap_t, reserve_t))

    def fund(self, entity: str, *, cash_fen: int = 0, iv: str = "", units_t: int = 0) -> None:
        """Give a participant money and units in its trading holding."""
        if cash_fen:
            self._deposits += 1
            self.by("cash", "cash", "deposit", entity, cash_fen, f"bank-{self._deposits}")
        if units_t:
            self.by("authority", "allowance", "issue", entity, iv, units_t, "opening balance", True)

    def at_local(self, day: int, minutes: int) -> None:
        """Set block time to a local day (days since 1970) and minutes after midnight."""
        self.time_ms = day * MS_A_DAY + minutes * 60_000 - self.rules.offset_ms

    def open_market(self, day: int) -> None:
        """Open a trading day at 9:20 local time and wait for the first session."""
        self.at_local(day, 9 * 60 + 20)
        self.by("exchange", "matching", "open_day")
        self.at_local(day, 9 * 60 + 30)

    def close_market(self) -> None:
        """Let orders lapse, close the day, deliver the serials."""
        day = self._day()
        self.at_local(day, 15 * 60)
        for book in self._books():
            while self.by("exchange", "matching", "expire", book, 200):
                pass
        self.by("exchange", "matching", "close_day")
        while self.by("exchange", "execution", "deliver", day, 100):
            pass

    def _day(self) -> int:
        market = self.view("matching", "market")
        assert isinstance(market, tuple)
        return int(market[0])

    def _books(self) -> tuple[Value, ...]:
        books = self.view("matching", "books")
        assert isinstance(books, tuple)
        return books

    def _ids(self) -> tuple[Value, ...]:
        ids = self.view("allowance", "vintage_ids")
        assert isinstance(ids, tuple)
        return ids


def document(text: str) -> bytes:
    """A stand-in document's hash."""
    return blake2b_256(text.encode())
