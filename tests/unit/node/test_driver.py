"""The driver between a replica and its partners: what it makes of actions."""

from types import SimpleNamespace
from typing import Any

import pytest
from msgspec.structs import replace

from carbonnode.chain.batch import Batch
from carbonnode.chain.genesis import Parameters
from carbonnode.consensus import actions as act
from carbonnode.consensus import events as ev
from carbonnode.consensus.config import EpochConfig
from carbonnode.node.driver import Driver
from tests.unit.node.chain_kit import make_genesis

pytestmark = pytest.mark.asyncio


class Replica:
    """Answers every event with the same actions."""

    def __init__(self, parameters: Parameters, *actions: act.AnyAction) -> None:
        self.parameters = parameters
        self.actions = actions

    def step(self, _event: ev.AnyEvent) -> tuple[act.AnyAction, ...]:
        return self.actions

    def index_of(self, _name: str) -> int | None:
        return None


async def test_a_proposal_is_held_to_the_limits_of_the_epoch_that_the_replica_is_in() -> None:
    genesis = make_genesis()
    old = EpochConfig(0, 1, genesis.validators, Parameters())
    new = replace(old.parameters, max_block_transactions=5_000)
    seen: list[int] = []
    pool: Any = SimpleNamespace(parameters=old.parameters)
    resolver: Any = SimpleNamespace(resolve=lambda *_: seen.append(pool.parameters.max_block_transactions))
    other: Any = SimpleNamespace(monotonic_ms=lambda: 1, wall_ms=lambda: 1)
    errors: list[BaseException] = []
    replica = Replica(new, act.ResolveBatch(1, b"d" * 32, Batch(1, ())))
    driver = Driver(
        replica=replica, name="super-1", epoch=old, sender=other, pool=pool, bodies=other, clock=other, crash=other, observer=other, on_fatal=errors.append
    )
    pipeline: Any = SimpleNamespace(use_window=lambda *_: None)
    driver.attach(other, resolver, pipeline)
    driver.put(ev.WorkArrived(now_ms=1))
    assert errors == []
    assert seen == [5_000]
