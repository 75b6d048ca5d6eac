"""A contract on a `LocalChain` as a test holds it: its sender chosen, its calls expected to end in a certain way."""

from collections.abc import Mapping, Sequence
from typing import Final

from carbonnode.chain.transaction import Call
from carbonnode.chain.values import Value
from carbonnode.local.chain import DEFAULT_GAS, LocalChain, LocalEvent
from carbonnode.vm.outcome import Outcome
from carbonnode.vm.state import SYSTEM_SENDER

ExpectedEvents = Sequence[tuple[str, Mapping[str, Value]]]
_ANYTHING: Final = object()


class Deployed:
    """An installed contract, called by one sender. `by` gives the same contract with another."""

    def __init__(self, chain: LocalChain, name: str, sender: bytes | str = SYSTEM_SENDER) -> None:
        self.chain = chain
        self.name = name
        self.sender = sender

    def by(self, sender: bytes | str) -> "Deployed":
        """The same contract, called by a sender: any name, or a key of 32 bytes."""
        return Deployed(self.chain, self.name, sender)

    def call(self, method: str, *args: Value) -> Value:
        """A transaction of one call; its value. Raises `LocalRefusal`."""
        return self.chain.call(self.name, method, *args, sender=self.sender)

    def view(self, method: str, *args: Value) -> Value:
        """A view's answer. Raises `LocalRefusal`."""
        return self.chain.view(self.name, method, *args, sender=self.sender)

    def refused(self, method: str, *args: Value) -> str:
        """The code with which a call is refused. Raises `ContractError` if it succeeds."""
        return self.chain.refusal(self.name, method, *args, sender=self.sender)

    def expect(
        self,
        method: str,
        *args: Value,
        value: Value | object = _ANYTHING,
        code: str = "",
        outcome: str = "",
        events: ExpectedEvents | None = None,
        gas: int = DEFAULT_GAS,
    ) -> Outcome:
        """Call a method, or a view, and compare. Returns the outcome; raises `AssertionError` that says what happened instead.

        Without `code` and `outcome` it must succeed; a `code` alone means ABORT with that code; `outcome` is OK, ABORT or OUT_OF_GAS. `events` are
        (name, fields) in order, an audience standing among the fields as `to`.
        """
        expected = outcome or ("ABORT" if code else "OK")
        found = self._run(method, args, gas)
        asked = f"{self.name}.{method}({', '.join(map(repr, args))})"
        if (found.status.name, found.code) != (expected, code) and not (expected != "OK" and not code and found.status.name == expected):
            wanted, got = f"{expected} {code}".strip(), f"{found.status.name} {found.code}".strip()
            raise AssertionError(f"{asked} was expected to end {wanted}, and ended {got}{f' at {found.where}' if found.where else ''}")
        if value is not _ANYTHING and (found.values[0] if found.values else None) != value:
            raise AssertionError(f"{asked} was expected to return {value!r}, and returned {found.values[0] if found.values else None!r}")
        if events is not None:
            emitted = [(event.name, dict(event.fields)) for event in found.events if event.contract == self.name]
            wanted_events = [(name, dict(fields)) for name, fields in events]
            if emitted != wanted_events:
                raise AssertionError(f"{asked} was expected to emit {wanted_events}, and emitted {emitted}")
        return found

    def events(self, name: str = "", *, to: str | None = None) -> list[LocalEvent]:
        """This contract's events so far: of a name, and for an audience ("" is the public) if one is given."""
        return [
            event for event in self.chain.events if event.contract == self.name and name in ("", event.name) and (to is None or event.to == to)
        ]

    def _run(self, method: str, args: tuple[Value, ...], gas: int) -> Outcome:
        contract = self.chain.resolve(self.name)
        if contract is not None and method in contract.abi.views:
            return self.chain.answer(self.name, method, args, sender=self.sender, gas=gas)
        return self.chain.execute((Call(self.name, method, args),), sender=self.sender, gas=gas)


