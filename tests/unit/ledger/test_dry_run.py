"""Dry runs on the certified state: what they say holds when the calls run for real, and they change nothing."""

import pytest

from carbonnode.chain.batch import NULL_BATCH
from carbonnode.chain.genesis import ContractSource
from carbonnode.chain.receipt import Status
from carbonnode.chain.transaction import Call
from carbonnode.ledger.dry_run import HEADROOM_GAS, HEADROOM_TIMES, gas_to_declare
from carbonnode.ledger.results import DryRun
from tests.unit.ledger.toy import KEY, Chain, genesis

MOST = 20_000_000
SENDER = KEY.public_key
LOUD = '''"""Says much for little gas, asks for calls."""
names = Map(int, str)
whose = Var(bytes)


@export
def shout(n: int) -> None:
    for i in range(n):
        emit("Shout", text="x" * 4000)


@export
def mine() -> None:
    whose.set(ctx.sender)
    require(ctx.caller == "", "LOUD-CALLER")


@export
def fill(n: int) -> None:
    for i in range(n):
        names[i] = "somebody"


@export
def empty(n: int) -> int:
    found = 0
    for i in range(n):
        del names[i]
        if names.next(None) is not None:
            found = found + 1
    return found


@export
def seen() -> int:
    require(ctx.height > 0, "LOUD-HEIGHT")
    return ctx.time


@export
def ask_again(n: int) -> None:
    for i in range(n):
        schedule(0, "mine", ())
'''


def chain_of(**parameters: int) -> Chain:
    return Chain(genesis=genesis(invariants=(), more=(ContractSource("loud", LOUD),), **parameters))


def ask(chain: Chain, method: str, *args: int | str, contract: str = "toy", gas: int = MOST) -> DryRun:
    return chain.executor.estimate([Call(contract, method, args)], SENDER, gas=gas)


def test_what_it_says_is_what_the_transaction_comes_to() -> None:
    chain = chain_of()
    chain.block()
    said = ask(chain, "pay", "bank", "ann", 5)
    assert (said.height, said.status, said.code, said.gas_limit) == (1, Status.OK, "", HEADROOM_TIMES * said.gas_used + HEADROOM_GAS)
    done = chain.block(chain.tx("pay", "bank", "ann", 5, gas=said.gas_limit)).receipts[-1]
    assert (done.status, done.gas_used) == (Status.OK, said.gas_used)
    refused = ask(chain, "pay", "ann", "bob", 6)
    assert (refused.status, refused.code, refused.gas_limit) == (Status.ABORT, "TOY-FUNDS", 0)
    assert chain.block(chain.tx("pay", "ann", "bob", 6)).receipts[-1].code == "TOY-FUNDS"


def test_nothing_is_changed_and_calls_see_one_another() -> None:
    chain, quiet = chain_of(), chain_of()
    for made in (chain, quiet):
        made.block(made.tx("pay", "bank", "ann", 5))
    pay, back = Call("toy", "pay", ("ann", "bob", 5)), Call("toy", "pay", ("bob", "ann", 5))
    assert chain.executor.estimate([pay, back, pay], SENDER, gas=MOST).status == Status.OK
    assert chain.executor.estimate([pay, pay], SENDER, gas=MOST).code == "TOY-FUNDS"
    assert chain.executor.estimate([pay], SENDER, gas=MOST).status == Status.OK
    assert (chain.balance("ann"), chain.balance("bob")) == (5, 0)
    assert chain.executor.held_bytes == quiet.executor.held_bytes
    # Blocks after it come to the same header as where nobody asked.
    assert [made.block(made.tx("list_order", 3, 1, "ann")).header_hash for made in (chain, quiet)].count(chain.executor.header.hash) == 2


def test_it_sees_the_certified_state_and_not_what_is_executed_above_it() -> None:
    chain = chain_of()
    chain.block()
    chain.execute(chain.tx("pay", "bank", "ann", 5))
    assert ask(chain, "pay", "ann", "bob", 1).code == "TOY-FUNDS"
    chain.executor.finalise(2)
    assert ask(chain, "pay", "ann", "bob", 1).status == Status.OK


@pytest.mark.parametrize(
    ("contract", "method", "args", "code"),
    [
        ("nothing", "pay", (), "vm.no-contract"),
        ("\ud800", "pay", (), "vm.no-contract"),
        ("x" * 10_000, "pay", (), "vm.no-contract"),
        ("toy", "setup", (1,), "vm.no-method"),
        ("toy", "pay", ("bank",), "vm.arguments"),
        ("toy", "pay", (1, 2, "x"), "vm.arguments"),
        ("toy", "tick", (1,), "TOY-NOT-A-JOB"),
        ("toy", "burn_gas", (), "vm.out-of-gas"),
        ("loud", "ask_again", (2_000,), "vm.limit"),
    ],
)
def test_hostile_calls_end_with_a_code(contract: str, method: str, args: tuple[int | str, ...], code: str) -> None:
    chain = chain_of()
    chain.block()
    root = chain.executor.header.state_root
    said = ask(chain, method, *args, contract=contract)
    assert (said.code, said.gas_limit) == (code, 0)
    assert chain.executor.execute(2, NULL_BATCH, ()).header.state_root == root


def test_what_runs_out_says_how_much_it_had() -> None:
    chain = chain_of()
    chain.block()
    said = ask(chain, "burn_gas", gas=70_000)
    assert (said.status, said.gas_used, said.gas_limit) == (Status.OUT_OF_GAS, 70_000, 0)
    # Never more than a transaction may have.
    assert ask(chain, "burn_gas", gas=1 << 40).gas_used == MOST


def test_the_limit_leaves_room_for_events_too() -> None:
    """A transaction has a byte of output for every 2 gas of its limit: gas alone would be too little."""
    chain = chain_of()
    chain.block()
    said = ask(chain, "shout", 60, contract="loud")
    assert said.gas_limit > HEADROOM_TIMES * said.gas_used + HEADROOM_GAS
    done = chain.block(chain.tx("shout", 60, contract="loud", gas=said.gas_limit), chain.tx("shout", 60, contract="loud", gas=said.gas_used))
    assert [receipt.code for receipt in done.receipts] == ["", "chain.output"]
    small = chain_of(max_transaction_gas=400_000)
    small.block()
    assert ask(small, "shout", 60, contract="loud").code == "chain.output"


def test_it_runs_as_the_sender_in_the_next_block() -> None:
    chain = chain_of()
    chain.block(time_ms=5_000_000)
    assert ask(chain, "mine", contract="loud").status == Status.OK
    assert ask(chain, "seen", contract="loud").status == Status.OK
    assert ask(chain, "seen", contract="loud").height == 1


def test_deleting_and_asking_in_turns_is_as_in_a_block() -> None:
    chain = chain_of()
    chain.block(chain.tx("fill", 200, contract="loud"))
    said = ask(chain, "empty", 200, contract="loud")
    done = chain.block(chain.tx("empty", 200, contract="loud", gas=said.gas_limit)).receipts[-1]
    assert (done.status, done.values, done.gas_used) == (Status.OK, (199,), said.gas_used)


def test_the_head_room_ends_at_what_a_transaction_may_have() -> None:
    assert gas_to_declare(10_190, MOST) == 120_380
    assert gas_to_declare(1_642_676, MOST) == 3_385_352
    assert gas_to_declare(15_000_000, MOST) == MOST
