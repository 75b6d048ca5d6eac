"""Dry runs: what calls would come to on the last certified state, and the gas limit to declare for them. Nothing of it is kept (docs/adr/0027)."""

from collections.abc import Sequence
from typing import Final

from carbonnode.chain import values
from carbonnode.chain.receipt import Receipt, Status
from carbonnode.chain.transaction import Call
from carbonnode.ledger import jobs
from carbonnode.ledger.block_run import OUTPUT_BYTES, OUTPUT_GAS, TOO_MANY_JOBS, TOO_MUCH_OUTPUT, event_room
from carbonnode.ledger.events import EventNumbers
from carbonnode.ledger.overlay import Below, Overlay
from carbonnode.ledger.results import DryRun
from carbonnode.vm.machine import Machine
from carbonnode.vm.outcome import Outcome
from carbonnode.vm.state import Environment

HEADROOM_TIMES: Final = 2
HEADROOM_GAS: Final = 100_000
"""The state moves on before a transaction runs: an order that met nobody may meet five others then, one that met many twice as many."""


def gas_to_declare(needed: int, most: int) -> int:
    """The limit to declare for calls that needed so much gas in a dry run, where a transaction may declare `most`."""
    return min(HEADROOM_TIMES * needed + HEADROOM_GAS, most)


def dry_run(machine: Machine, state: Below, env: Environment, sender: bytes, calls: Sequence[Call], *, gas: int, most: int) -> DryRun:
    """Run calls as a transaction of `sender` would, with at most `gas`; a transaction may declare `most`. `state` stays as it is."""
    overlay = Overlay(state)
    outcome = machine.execute(overlay, env, sender, calls, gas)
    needed = outcome.gas_used
    if outcome.ok:
        needed = max(needed, _output_gas(overlay, outcome, most))
        if outcome.scheduled and not jobs.fit(overlay, outcome.scheduled):
            outcome = Outcome(Status.ABORT, TOO_MANY_JOBS, outcome.gas_used)
        elif needed > most:
            outcome = Outcome(Status.ABORT, TOO_MUCH_OUTPUT, outcome.gas_used)
    # The machine keeps its last state until it gets another.
    overlay.clear()
    return DryRun(env.height - 1, int(outcome.status), outcome.code, outcome.gas_used, gas_to_declare(needed, most) if outcome.ok else 0)


def _output_gas(state: Overlay, outcome: Outcome, most: int) -> int:
    """The limit that leaves room for receipt and events, as a block counts them; more than `most` where none does."""
    tx_id, numbers = bytes(32), EventNumbers(state)
    returned = tuple([value if value is None else values.to_wire(value) for value in outcome.values])
    receipt = Receipt(tx_id, int(outcome.status), outcome.code, outcome.gas_used, 0, len(outcome.events), returned)
    needed = OUTPUT_GAS * (len(receipt.encoded) - OUTPUT_BYTES)
    for item in outcome.events:
        if needed > most:
            # As in a block: what can't fit isn't encoded to its end.
            break
        needed += OUTPUT_GAS * event_room(numbers.number(item, tx_id)[1])
    return needed
