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

        self.events: list[ev.AnyEvent] = []

    def step(self, event: ev.AnyEvent) -> tuple[act.AnyAction, ...]:
        self.events.append(event)
        return self.actions

    def index_of(self, name: str) -> int | None:
        return {"super-2": 3}.get(name)


def driven(replica: Replica, epoch: EpochConfig, pool: Any, errors: list[BaseException]) -> Driver:
    other: Any = SimpleNamespace(monotonic_ms=lambda: 1, wall_ms=lambda: 1)
    return Driver(
        replica=replica, name="super-1", epoch=epoch, sender=other, pool=pool, bodies=other, clock=other, crash=other, observer=other, on_fatal=errors.append
    )


async def test_a_proposal_is_held_to_the_limits_of_the_epoch_that_the_replica_is_in() -> None:
    genesis = make_genesis()
    old = EpochConfig(0, 1, genesis.validators, Parameters())
    new = replace(old.parameters, max_block_transactions=5_000)
    seen: list[int] = []
    pool: Any = SimpleNamespace(parameters=old.parameters)
    resolver: Any = SimpleNamespace(resolve=lambda *_: seen.append(pool.parameters.max_block_transactions))
    errors: list[BaseException] = []
    replica = Replica(new, act.ResolveBatch(1, b"d" * 32, Batch(1, ())))
    driver = driven(replica, old, pool, errors)
    pipeline: Any = SimpleNamespace(use_window=lambda *_: None)
    driver.attach(pipeline, resolver, pipeline)
    driver.start()
    assert errors == []
    assert seen == [5_000]


async def test_who_is_away_is_named_by_the_indices_of_the_epoch_that_the_replica_is_in() -> None:
    genesis = make_genesis()
    pool: Any = SimpleNamespace(parameters=None)
    errors: list[BaseException] = []
    replica = Replica(Parameters())
    driver = driven(replica, EpochConfig(0, 1, genesis.validators, Parameters()), pool, errors)
    driver.start()
    driver.peer_reachable("super-2", reachable=False)
    driver.peer_reachable("nobody", reachable=False)
    assert errors == []
    assert replica.events[1:] == [ev.PeerUnreachable(now_ms=1, peer=3)]


async def test_what_comes_before_the_start_waits_for_it() -> None:
    """Links are up a moment before the node is: a replica that got their frames first would count the time from zero, and suspect the primary."""
    genesis = make_genesis()
    errors: list[BaseException] = []
    replica = Replica(Parameters())
    driver = driven(replica, EpochConfig(0, 1, genesis.validators, Parameters()), SimpleNamespace(parameters=None), errors)
    driver.peer_reachable("super-2", reachable=True)
    driver.put(ev.WorkArrived(now_ms=1))
    assert replica.events == []
    driver.start()
    assert errors == []
    assert replica.events == [ev.Start(now_ms=1, wall_ms=1), ev.PeerReachable(now_ms=1, peer=3), ev.WorkArrived(now_ms=1)]
