"""What a run of the VM leaves: status, code, gas, returned values, events and scheduled calls."""

from typing import NamedTuple

import msgspec

from carbonnode.chain.receipt import Status
from carbonnode.chain.values import Scalar, Value

__all__ = ["EmittedEvent", "Outcome", "ScheduledCall", "Status"]


class EmittedEvent(NamedTuple):
    """An event as the contract emitted it: `fields` are (name, scalar) in the order written."""

    contract: str
    name: str
    fields: tuple[tuple[str, Scalar], ...]


class ScheduledCall(NamedTuple):
    """A call that `contract` asked for on itself, at market time `at_ms`. Run it with `caller=contract`."""

    contract: str
    at_ms: int
    method: str
    args: tuple[Value, ...]


class Outcome(msgspec.Struct, frozen=True, gc=False):
    """The result of one transaction, view or deployment.

    `code` is "" when OK; `values` what each call returned. After any status but OK the state is as before, `values`, `events` and
    `scheduled` are empty and `gas_used` is the whole limit. `where` ("contract:line") helps authors and is never part of a receipt.
    """

    status: Status
    code: str
    gas_used: int
    values: tuple[Value, ...] = ()
    events: tuple[EmittedEvent, ...] = ()
    scheduled: tuple[ScheduledCall, ...] = ()
    where: str = ""

    @property
    def ok(self) -> bool:
        """Whether the run succeeded."""
        return self.status is Status.OK
