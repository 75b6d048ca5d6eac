"""What the executor process may need, by construction: parameters under which it could need more than its limit are refused (docs/adr/0024).

Gas bounds what a run holds, what a block leaves in the state, and what it says; everything else in the process is bounded in bytes. The factors are held
by `tests/unit/vm/test_memory.py`, `tests/unit/ledger/test_memory.py` and `tests/attacks/test_memory_bombs.py`.
"""

from typing import TYPE_CHECKING, Final

from carbonnode.errors import ConfigError

if TYPE_CHECKING:
    from carbonnode.chain.genesis import Parameters

EXECUTOR_BYTES: Final = 4096 << 20
"""What a node gives its executor process at least (`executor.memory_mb`)."""
FIXED_BYTES: Final = 1408 << 20
"""The process (128 MiB), LevelDB (96), compiled and linked contracts (448), caches of the state (256) and key hashes (64), key indexes (96), addresses in
Maps (160), past states (128), a snapshot being written (32)."""
HELD_BYTES: Final = 128 << 20
"""Blocks that aren't on disk, as the executor reckons; `node.pipeline` flushes beyond it."""
RUN_BYTES_PER_GAS: Final = 24
"""What a run holds, and what runs left behind that only the collector frees."""
WRITTEN_BYTES_PER_GAS: Final = 16
"""What a block leaves in the state, until it is flushed."""
FLUSHED_BYTES_PER_GAS: Final = 24
"""The same while it is flushed: with LevelDB's batch and its table in memory."""
SAID_BYTES_PER_GAS: Final = 4
"""Events and receipts of a block: decoded, encoded, and in a frame."""
ID_BYTES: Final = 180
TRANSACTION_FACTOR: Final = 40
"""Bytes of decoded transactions for one of their encoding."""
REPORTS_GAS: Final = 4_000_000
"""What the ledger tells `rules` in a block: 8 reports of 500,000 gas."""


def executor_bytes(parameters: "Parameters") -> int:
    """What the executor can need at most, in bytes: while a block is executed or flushed, whichever is more."""
    block_gas = parameters.max_block_gas + parameters.jobs_block_gas + REPORTS_GAS
    run_gas = max(parameters.max_transaction_gas, parameters.job_gas, parameters.jobs_block_gas, parameters.view_gas)
    executing = run_gas * RUN_BYTES_PER_GAS + block_gas * (WRITTEN_BYTES_PER_GAS + SAID_BYTES_PER_GAS)
    flushing = HELD_BYTES + block_gas * FLUSHED_BYTES_PER_GAS
    ids = parameters.validity_blocks * parameters.max_block_transactions * ID_BYTES
    return FIXED_BYTES + HELD_BYTES + ids + parameters.max_block_bytes * TRANSACTION_FACTOR + max(executing, flushing)


def check_memory(parameters: "Parameters") -> None:
    """Raises `ConfigError` that names what to lower if the executor could need more than its limit."""
    needed = executor_bytes(parameters)
    if needed > EXECUTOR_BYTES:
        raise ConfigError(
            f"with these parameters contracts could make the executor need {needed >> 20} MiB, more than the {EXECUTOR_BYTES >> 20} MiB that nodes give it: "
            "lower max_block_gas, jobs_block_gas, max_transaction_gas, view_gas, max_block_bytes, or validity_blocks times max_block_transactions"
        )
