"""Conservation, checked after every block in production: genesis names views that must answer True (design, section 4 of the issue's year).

A failure is our own bug or a contract's: the block isn't sealed, the executor stops, and the message says which law broke where.
"""

from carbonnode.errors import InvariantViolation
from carbonnode.vm.machine import Machine
from carbonnode.vm.state import Environment, StateAccess


def check_invariants(machine: Machine, state: StateAccess, env: Environment, invariants: tuple[tuple[str, str], ...], gas: int) -> None:
    """Ask every (contract, view). Raises `InvariantViolation` naming the first that doesn't answer True."""
    for contract, view in invariants:
        outcome = machine.view(state, env, contract, view, (), gas)
        if not outcome.ok or outcome.values[0] is not True:
            answer = outcome.values[0] if outcome.ok else f"{outcome.status.name} {outcome.code}"
            raise InvariantViolation(
                f"block {env.height}: the invariant {contract}.{view} answers {answer!r} instead of True: nothing of this block is kept; "
                f"find the transaction with `carbonnode doctor --height {env.height}`"
            )
