"""Parameters under which contracts could make the executor need more memory than it has are refused where a chain is made."""

from pathlib import Path

import msgspec
import pytest

from carbonnode.chain.genesis import Genesis, Parameters, parse_genesis
from carbonnode.chain.memory import EXECUTOR_BYTES, check_memory, executor_bytes
from carbonnode.chain.signing import KeySigner
from carbonnode.chain.validators import Validator
from carbonnode.errors import ConfigError
from carbonnode.node.config import ExecutorSection, NodeConfig, NodeSection

BEYOND = {
    "max_block_gas": 2_000_000_000,
    "max_transaction_gas": 64_000_000,
    "job_gas": 64_000_000,
    "jobs_block_gas": 500_000_000,
    "view_gas": 64_000_000,
    "max_block_bytes": 32 << 20,
    "validity_blocks": 5_000,
}


def test_the_defaults_leave_a_tenth_free() -> None:
    assert executor_bytes(Parameters()) < 0.9 * EXECUTOR_BYTES


@pytest.mark.parametrize("name", BEYOND)
def test_a_genesis_that_could_need_more_is_refused_and_told_what_to_lower(name: str) -> None:
    with pytest.raises(ConfigError, match=r"could make the executor need \d+ MiB, more than the 4096 MiB .* lower max_block_gas"):
        check_memory(msgspec.structs.replace(Parameters(), **{name: BEYOND[name]}))


def test_a_genesis_file_that_could_need_more_is_refused() -> None:
    key = KeySigner(b"k" * 32).public_key
    good = Genesis(network="x", time_ms=1, validators=(Validator("a", "super", key, KeySigner(b"t" * 32).public_key),), ca_roots=(), contracts=())
    raw = good.to_json().replace(b'"max_block_gas": 50000000', b'"max_block_gas": 2000000000')
    assert raw != good.to_json()
    with pytest.raises(ConfigError, match="lower max_block_gas"):
        parse_genesis(raw, Path("genesis.json"))


def test_a_node_gives_its_executor_what_every_chain_may_need() -> None:
    config = NodeConfig(node=NodeSection(name="v1.example", role="super"), executor=ExecutorSection(memory_mb=(EXECUTOR_BYTES >> 20) - 1))
    with pytest.raises(ConfigError, match=r"executor.memory_mb is 4095: give at least 4096"):
        config.validate()
