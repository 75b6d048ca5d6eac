"""Block 0: contracts installed, their `@init` and genesis's calls run by nobody's key. A pure function of genesis."""

from collections.abc import Callable

from carbonnode.chain.batch import Batch
from carbonnode.chain.genesis import Genesis
from carbonnode.chain.hashing import ZERO_HASH, tagged_hash
from carbonnode.chain.transaction import Call
from carbonnode.errors import ConfigError, ContractError
from carbonnode.ledger.block_run import BlockRun, Parent, Surroundings, genesis_call
from carbonnode.ledger.epochs import genesis_epoch
from carbonnode.ledger.results import ExecutedBlock


def run_genesis(around: Surroundings, genesis: Genesis) -> ExecutedBlock:
    """Execute block 0 on an empty state. Raises `ConfigError` naming the contract or call that genesis has wrong."""
    run = BlockRun(around, Parent(-1, ZERO_HASH, genesis.time_ms - 1), Batch(genesis.time_ms, ()))
    return run.run((), _preparation(around, genesis))


def _preparation(around: Surroundings, genesis: Genesis) -> Callable[[BlockRun], None]:
    def prepare(run: BlockRun) -> None:
        around.epochs.write(genesis_epoch(genesis))
        for item in genesis.contracts:
            try:
                around.code.install(item.name, item.source)
            except ContractError as error:
                raise ConfigError(f"genesis: {error}") from None
        around.state.commit_transaction(0)
        machine = around.machine(genesis.parameters.gas_schedule)
        for number, call in enumerate(_all_calls(around, genesis)):
            run.begin_genesis_call(number + 1)
            outcome = genesis_call(run, around, machine, number, call, genesis.parameters.max_block_gas)
            if not outcome.ok:
                raise ConfigError(f"genesis: call {number}, {call.contract}.{call.method}, ends with {outcome.status.name} {outcome.code} at {outcome.where}")
            run.run_system_call(tagged_hash(b"genesis-call", number.to_bytes(8, "big")), outcome, genesis.parameters.max_block_gas)

    return prepare


def _all_calls(around: Surroundings, genesis: Genesis) -> list[Call]:
    """Genesis's calls, after the `@init` of each contract that has one without parameters and isn't called there."""
    named = {(call.contract, call.method) for call in genesis.calls}
    first: list[Call] = []
    for item in genesis.contracts:
        contract = around.code.resolve(item.name)
        init = None if contract is None else contract.abi.init
        if init is None or (item.name, init.name) in named:
            continue
        if init.parameters:
            raise ConfigError(f"genesis: contract {item.name} has an @init with parameters: call {item.name}.{init.name} in `calls`")
        first.append(Call(item.name, init.name))
    return [*first, *genesis.calls]
