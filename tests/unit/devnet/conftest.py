"""A market year on a chain in memory: the same steps and the same contracts as on the network, one transaction a block."""

import random
from collections.abc import Callable, Sequence

import pytest

from carbonnode.chain.values import Value
from carbonnode.devnet.genesis import MEMBERS, ORGANISATIONS
from carbonnode.devnet.year_calendar import START, market_ms
from carbonnode.devnet.year_ports import Done, Request, YearError
from carbonnode.devnet.year_steps import RULE_SET
from carbonnode.local import ruleset
from carbonnode.local.chain import LocalChain, LocalRefusal, key_of


class LocalMarket:
    """`year_ports.Market` over `LocalChain`. With a seed, transactions sent together run in a shuffled order."""

    def __init__(self, seed: int | None = None) -> None:
        self.rng = None if seed is None else random.Random(seed)
        self.gas: dict[str, tuple[int, int]] = {}
        self.sent = 0
        rules = ruleset.load(RULE_SET)
        start = market_ms(START, rules.offset_ms)
        self.chain = LocalChain(start)
        for contract in ruleset.genesis_contracts():
            self.chain.deploy(contract.name, contract.source)
        members = [ruleset.Member(ORGANISATIONS[name], title, roles, key_of(name)) for name, (title, roles) in MEMBERS.items()]
        self.chain.genesis(ruleset.genesis_calls([rules], members, test_clock=True, market_time_ms=start))

    def open_wallets(self, names: Sequence[str]) -> None:
        """Local senders sign nothing."""

    async def execute(self, requests: Sequence[Request]) -> list[Done]:
        order = list(range(len(requests)))
        if self.rng is not None:
            self.rng.shuffle(order)
        done: dict[int, Done] = {}
        for index in order:
            request = requests[index]
            self.sent += 1
            self.chain.time_ms += 250
            outcome = self.chain.execute(request.calls, sender=key_of(request.signer), gas=request.gas)
            if outcome.code != request.expect:
                raise YearError(f"{request.key}: {outcome.status.name} {outcome.code}")
            method = f"{request.calls[0].contract}.{request.calls[0].method}"
            used = outcome.gas_used // len(request.calls)
            self.gas[method] = (max(used, self.gas.get(method, (0, 0))[0]), self.gas.get(method, (0, 0))[1] + 1)
            for contract, view in ruleset.INVARIANTS:
                assert self.chain.view(contract, view) is True, (request.key, contract)
            done[index] = Done(request.key, request.key.encode(), self.chain.height, tuple(outcome.values), outcome.code)
        return [done[i] for i in range(len(requests))]

    async def view(self, contract: str, view: str, *args: Value, signer: str = "") -> Value:
        try:
            return self.chain.view(contract, view, *args, sender=key_of(signer) if signer else bytes(32))
        except LocalRefusal as refusal:
            raise YearError(str(refusal)) from refusal


@pytest.fixture(scope="session")
def local_market() -> Callable[[int | None], LocalMarket]:
    return LocalMarket
