"""The machine: runs checked contracts on a state, metered, and says how it ended.

One machine owns one gas cell and one set of linked contracts, and runs one transaction at a time. Views run on a machine of their own.
"""

from collections.abc import Sequence

from carbonnode.chain.transaction import Call
from carbonnode.chain.values import Value
from carbonnode.vm.contract import Contract
from carbonnode.vm.gas import GasSchedule
from carbonnode.vm.outcome import Outcome
from carbonnode.vm.runtime import Runtime
from carbonnode.vm.state import SYSTEM_SENDER, Environment, StateAccess


class Machine:
    """Executes contracts under one gas schedule."""

    def __init__(self, schedule: GasSchedule) -> None:
        self.schedule = schedule
        self._runtime = Runtime(schedule)

    @property
    def gas_left(self) -> int:
        """The gas that the run in progress may still use: for profilers."""
        return self._runtime.gas.cell_contents  # type: ignore[no-any-return]

    def execute(
        self,
        state: StateAccess,
        env: Environment,
        sender: bytes,
        calls: Sequence[Call],
        gas_limit: int,
        *,
        caller: str = "",
    ) -> Outcome:
        """Run a transaction's calls, all or none.

        `caller` is empty for a signed transaction; for a scheduled job it is the contract that asked for it. After any status but OK the
        state is as before. Errors that no contract can cause (a bug, `MemoryError`, `RecursionError`, what `state` raises) are raised.
        """
        return self._runtime.run(state, env, sender, calls, gas_limit, caller=caller, view=False)

    def view(
        self,
        state: StateAccess,
        env: Environment,
        contract: str,
        method: str,
        args: Sequence[Value],
        gas_limit: int,
        *,
        sender: bytes = SYSTEM_SENDER,
    ) -> Outcome:
        """Answer a view: nothing can be written. `values[0]` is the answer."""
        return self._runtime.run(state, env, sender, (Call(contract, method, tuple(args)),), gas_limit, caller="", view=True)

    def init(
        self,
        state: StateAccess,
        env: Environment,
        sender: bytes,
        contract: Contract,
        args: Sequence[Value],
        gas_limit: int,
    ) -> Outcome:
        """Run a contract's `@init` at its deployment; a contract without one takes no arguments. `env.resolve` needn't know it yet."""
        return self._runtime.initialise(state, env, sender, contract, tuple(args), gas_limit)

    def migrate(self, state: StateAccess, env: Environment, contract: Contract, old_version: int, gas_limit: int) -> Outcome:
        """Run a new version's `migrate(old_version)` when it takes effect; a source without that hook has nothing to do."""
        return self._runtime.migrate(state, env, SYSTEM_SENDER, contract, old_version, gas_limit)
