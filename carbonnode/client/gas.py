"""Which gas limit to declare: what the node's dry run suggests, or a default where there is none (docs/adr/0027)."""

from typing import Any, Final, NamedTuple

import msgspec

from carbonnode.chain.genesis import value_to_json
from carbonnode.chain.transaction import Call

DEFAULT_GAS: Final = 2_000_000
"""Declared where no node can say better: one that is busy, cut off, or of an older release; and where its contract would refuse the calls."""
ESTIMATE_PATIENCE_S: Final = 5.0
"""How long a dry run is waited for."""


class EstimateInfo(msgspec.Struct, frozen=True):
    """What calls would have come to after a certified height: `outcome` OK and the `gas_limit` to declare, or ABORT and so on with a `code`.

    After OUT_OF_GAS `gas_used` is all that a dry run may use, after another failure it says nothing, and `gas_limit` is 0. `waiting` counts transactions
    at the node that aren't certified yet.
    """

    height: int
    outcome: str
    code: str
    gas_used: int
    gas_limit: int
    waiting: int = 0

    @property
    def ok(self) -> bool:
        """Whether the calls would have taken effect."""
        return self.outcome == "OK"


class GasChoice(NamedTuple):
    """A gas limit, where it comes from (`estimate`, `default`, `given`), what the dry run said, and why there was none."""

    limit: int
    source: str
    estimate: EstimateInfo | None = None
    why: str = ""

    @property
    def refused(self) -> bool:
        """Whether a dry run says that this transaction would fail. One that had less gas than the limit and ran out of it says nothing."""
        found = self.estimate
        return found is not None and not found.ok and not (found.outcome == "OUT_OF_GAS" and found.gas_used < self.limit)


def choice_of(found: EstimateInfo, default: int) -> GasChoice:
    """What follows from a dry run."""
    return GasChoice(found.gas_limit, "estimate", found) if found.ok and found.gas_limit > 0 else GasChoice(default, "default", found)


def estimate_body(calls: "tuple[Call, ...]") -> dict[str, Any]:
    """The question, as JSON."""
    return {"calls": [{"contract": call.contract, "method": call.method, "args": [value_to_json(arg) for arg in call.args]} for call in calls]}
