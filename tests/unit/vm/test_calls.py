"""Calls between contracts, events, jobs, views, init: what is undone, what is charged, who is told to have called."""

from dataclasses import dataclass
from typing import Protocol

import pytest

from carbonnode.chain.transaction import Call
from carbonnode.chain.values import Value
from carbonnode.vm import codes
from carbonnode.vm.contract import Contract, ContractRefused, compile_contract
from carbonnode.vm.memory_state import MemoryState
from carbonnode.vm.outcome import EmittedEvent, Outcome, ScheduledCall, Status
from carbonnode.vm.state import Environment

GAS = 5_000_000


class Bench(Protocol):
    state: MemoryState
    env: Environment
    sender: bytes

    def install(self, name: str, source: str) -> Contract: ...
    def call(self, contract: str, method: str, *args: Value, gas: int = GAS) -> Outcome: ...
    def view(self, contract: str, method: str, *args: Value, gas: int = GAS) -> Outcome: ...


BANK = """
owners = Map(str, int)
@init
def setup(name: str, amount: int):
    owners[name] = amount
@export
def put(name: str, amount: int) -> int:
    require(amount > 0, "bank.amount")
    owners[name] = owners.get(name, 0) + amount
    emit("Put", to=name, amount=amount)
    return owners[name]
@export
def who() -> tuple:
    return (ctx.sender, ctx.caller, ctx.self, ctx.time, ctx.height, ctx.chain)
@export
def put_and_fail(name: str) -> None:
    put(name, 5)
    schedule(ctx.time + 1, "put", (name, 5))
    abort("bank.no")
@view
def held(name: str) -> int:
    return owners.get(name, 0)
@view
def sneaky() -> int:
    return call("shop", "poke")
"""

SHOP = """
tries = Var(int)
@export
def buy(name: str) -> int:
    return call("bank", "put", name, 7)
@export
def buy_three(name: str) -> tuple:
    a = try_call("bank", "put", name, 7)
    b = try_call("bank", "put_and_fail", name)
    c = try_call("bank", "put", name, -1)
    return (a, b, c)
@export
def who() -> tuple:
    return call("bank", "who")
@export
def poke() -> int:
    tries.set(tries.get() + 1)
    return tries.get()
@export
def back() -> int:
    return call("bank", "sneaky")
@export
def own() -> tuple:
    return try_call(ctx.self, "poke") + (call(ctx.self, "poke"),)
@export
def later(at: int) -> None:
    schedule(at, "poke", ())
@view
def look(name: str) -> int:
    return call("bank", "held", name) + call(ctx.self, "look_twice", name)
@view
def look_twice(name: str) -> int:
    return 2 * call("bank", "held", name)
"""


@pytest.fixture
def shop(bench: Bench) -> Bench:
    bench.install("bank", BANK)
    bench.install("shop", SHOP)
    return bench


def test_a_contract_calls_another(shop: Bench) -> None:
    outcome = shop.call("shop", "buy", "ann")
    assert outcome.values == (7,)
    assert outcome.events == (EmittedEvent("bank", "Put", (("to", "ann"), ("amount", 7))),)
    assert shop.view("shop", "look", "ann").values == (21,)


def test_context_names_the_signer_the_caller_and_the_block(shop: Bench) -> None:
    common = (shop.env.time_ms, 7, b"\x07" * 32)
    assert shop.call("bank", "who").values == ((b"\x01" * 32, "", "bank", *common),)
    assert shop.call("shop", "who").values == ((b"\x01" * 32, "shop", "bank", *common),)


def test_try_call_undoes_what_failed_and_gives_its_code(shop: Bench) -> None:
    outcome = shop.call("shop", "buy_three", "ann")
    assert outcome.values == (((True, 7), (False, "bank.no"), (False, "bank.amount")),)
    assert len(outcome.events) == 1
    assert outcome.scheduled == ()
    assert shop.view("bank", "held", "ann").values == (7,)


def test_a_failed_transaction_leaves_nothing(shop: Bench) -> None:
    before = dict(shop.state.data)
    calls = (Call("bank", "put", ("ann", 1)), Call("bank", "put", ("ann", 0)))
    machine = shop.machine  # type: ignore[attr-defined]
    outcome = machine.execute(shop.state, shop.env, shop.sender, calls, GAS)
    assert (outcome.status, outcome.code, outcome.gas_used) == (Status.ABORT, "bank.amount", GAS)
    assert shop.state.data == before


def test_several_calls_are_one_transaction(shop: Bench) -> None:
    calls = (Call("bank", "put", ("ann", 1)), Call("bank", "put", ("ann", 2)))
    outcome = shop.machine.execute(shop.state, shop.env, shop.sender, calls, GAS)  # type: ignore[attr-defined]
    assert outcome.values == (1, 3)


def test_a_contract_that_waits_is_not_entered_again(shop: Bench) -> None:
    assert shop.call("shop", "back").code == codes.REENTRANT


def test_a_contract_may_call_its_own_exports(shop: Bench) -> None:
    assert shop.call("shop", "own").values == ((True, 1, 2),)


def test_calls_nest_eight_deep(bench: Bench) -> None:
    for i in range(10):
        bench.install(f"c{i}", f'@export\ndef go() -> int:\n    return 1 + call("c{i + 1}", "go")\n')
    bench.install("c10", "@export\ndef go() -> int:\n    return 0\n")
    assert bench.call("c3", "go").values == (7,)
    assert bench.call("c2", "go").code == codes.CALL_DEPTH


def test_a_view_writes_nothing_wherever_it_calls(shop: Bench) -> None:
    assert shop.view("bank", "sneaky").code == codes.VIEW_WRITE
    assert shop.call("bank", "sneaky").code == codes.VIEW_WRITE
    assert shop.view("bank", "put", "ann", 1).code == codes.NO_METHOD
    assert not shop.state.data
    assert shop.call("shop", "poke").values == (1,)


@pytest.mark.parametrize(
    ("args", "code"),
    [
        (("ann",), codes.ARGUMENTS),
        (("ann", 1, 2), codes.ARGUMENTS),
        ((1, 1), codes.ARGUMENTS),
        (("ann", True), codes.ARGUMENTS),
        (("ann", "1"), codes.ARGUMENTS),
        (("ann", (1,)), codes.ARGUMENTS),
        (("ann", (1 << 256) + 1), codes.ARGUMENTS),
        (("\udfff", 1), codes.ARGUMENTS),
        (("x" * 4097, 1), codes.ARGUMENTS),
        (("\u4e2d" * 1366, 1), codes.ARGUMENTS),
    ],
)
def test_arguments_are_checked_before_anything_runs(shop: Bench, args: tuple[Value, ...], code: str) -> None:
    assert shop.call("bank", "put", *args).code == code


@pytest.mark.parametrize(
    "item",
    [1 << 257, -(1 << 256) - 1, "\ud800", "x" * 4097, b"x" * 4097, ((1,),), [1], {}, 1.5, (1,) * 4097, object],
)
def test_arguments_inside_tuples_are_checked_too(bench: Bench, item: Value) -> None:
    bench.install("a", "@export\ndef go(t: tuple) -> int:\n    return len(t)\n")
    nested = (item,) if not isinstance(item, tuple) else ((item,),)
    assert bench.call("a", "go", nested).code == codes.ARGUMENTS
    assert bench.call("a", "go", ((1, None, True), "x", b"y", -(1 << 256))).values == (4,)


def test_missing_contracts_and_methods_have_codes(shop: Bench) -> None:
    assert shop.call("nobody", "x").code == codes.NO_CONTRACT
    assert shop.call("bank", "x").code == codes.NO_METHOD
    assert shop.call("bank", "setup", "ann", 1).code == codes.NO_METHOD


def test_init_runs_once_at_deployment(bench: Bench) -> None:
    contract = compile_contract("bank", BANK.encode())
    outcome = bench.machine.init(bench.state, bench.env, bench.sender, contract, ("ann", 9), GAS)  # type: ignore[attr-defined]
    assert outcome.ok
    assert list(bench.state.data.values()) == [9]
    plain = compile_contract("plain", b"@export\ndef go() -> int:\n    return 1\n")
    assert bench.machine.init(bench.state, bench.env, bench.sender, plain, (), GAS).ok  # type: ignore[attr-defined]
    assert bench.machine.init(bench.state, bench.env, bench.sender, plain, (1,), GAS).code == codes.ARGUMENTS  # type: ignore[attr-defined]


def test_a_job_is_a_call_of_the_contract_by_itself(shop: Bench) -> None:
    outcome = shop.call("shop", "later", 55)
    assert outcome.scheduled == (ScheduledCall("shop", 55, "poke", ()),)
    job = shop.machine.execute(shop.state, shop.env, bytes(32), (Call("bank", "who", ()),), GAS, caller="bank")  # type: ignore[attr-defined]
    assert job.values[0][:3] == (bytes(32), "bank", "bank")


def test_the_interface_says_what_can_be_called() -> None:
    abi = compile_contract("bank", BANK.encode()).abi
    assert sorted(abi.exports) == ["put", "put_and_fail", "who"]
    assert sorted(abi.views) == ["held", "sneaky"]
    assert abi.init is not None
    assert [(p.name, p.type) for p in abi.exports["put"].parameters] == [("name", "str"), ("amount", "int")]
    assert (abi.storage[0].name, abi.storage[0].keys, abi.storage[0].value) == ("owners", ("str",), "int")


def test_a_refused_source_has_no_contract() -> None:
    with pytest.raises(ContractRefused) as caught:
        compile_contract("bank", b"import os\n")
    assert caught.value.errors[0].rule == "import"
    for name in ("", "Bank", "b-nk", "1bank", "b" * 65, "b\u00e4nk"):
        with pytest.raises(ContractRefused):
            compile_contract(name, b"@export\ndef go() -> int:\n    return 1\n")


@dataclass
class BrokenState:
    """A state whose reads fail as no contract can make them fail."""

    error: BaseException

    def get(self, key: bytes) -> Value:
        raise self.error

    def put(self, key: bytes, value: Value) -> None: ...
    def delete(self, key: bytes) -> None: ...
    def next_key(self, prefix: bytes, after: bytes | None) -> bytes | None: ...
    def prev_key(self, prefix: bytes, before: bytes | None) -> bytes | None: ...
    def mark(self) -> int:
        return 0

    def rollback(self, mark: int) -> None: ...


@pytest.mark.parametrize("error", [KeyError("state"), TypeError("state"), MemoryError(), RecursionError(), RuntimeError("bug"), OSError("disk")])
def test_errors_that_no_contract_can_cause_are_loud(shop: Bench, error: BaseException) -> None:
    machine = shop.machine  # type: ignore[attr-defined]
    for method in ("buy", "buy_three"):
        with pytest.raises(type(error)):
            machine.execute(BrokenState(error), shop.env, shop.sender, (Call("shop", method, ("ann",)),), GAS)
    assert shop.call("shop", "buy", "ann").ok


def test_where_a_failure_happened_is_told_to_authors(shop: Bench) -> None:
    assert shop.call("shop", "buy", "").where == ""
    outcome = shop.call("bank", "put", "ann", 0)
    assert outcome.where == "bank:8"
