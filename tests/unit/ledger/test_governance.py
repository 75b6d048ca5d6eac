"""The shipped `rules` and the ledger together: contracts installed, upgraded and rolled back by vote, validators changed, every step reported."""

from collections.abc import Sequence
from functools import cache

import pytest

from carbonnode.chain import values
from carbonnode.chain.batch import Batch
from carbonnode.chain.genesis import ContractSource, Genesis, Parameters
from carbonnode.chain.hashing import blake2b_256
from carbonnode.chain.memory_kv import MemoryKV
from carbonnode.chain.receipt import Status
from carbonnode.chain.signing import KeySigner
from carbonnode.chain.transaction import Body, Call, Transaction
from carbonnode.chain.validators import Validator
from carbonnode.chain.values import Value
from carbonnode.ledger import layout
from carbonnode.ledger.executor import BlockExecutor
from carbonnode.ledger.results import ExecutedBlock
from carbonnode.local import ruleset
from carbonnode.resources import contract_source
from tests.till import TILL, TILL_2

MEMBERS = {name: KeySigner(name.encode().ljust(32, b".")) for name in ("authority", "exchange", "registry", "verifier")}
ROLES = {"authority": ruleset.AUTHORITY, "exchange": ruleset.EXCHANGE, "registry": ruleset.REGISTRY | ruleset.CASH, "verifier": ruleset.VERIFIER}
EPOCH = 8
SOUND = TILL.replace("owner = Var(str)", "owner = Var(str)\nflaws = Var(int)") + "\n@view\ndef sound() -> bool:\n    return flaws.get() == 0\n"
BROKEN_HOOK = TILL_2.replace("    if old_version", '    abort("till.broken")\n    if old_version')


@cache
def genesis(invariants: tuple[tuple[str, str], ...] = ()) -> Genesis:
    signers = [KeySigner(bytes([number]) * 32) for number in range(1, 9)]
    rules = ruleset.load("demo-nger")
    members = [ruleset.Member(f"{name.upper()}-1", name, ROLES[name], MEMBERS[name].public_key) for name in MEMBERS]
    more = (ContractSource("till", SOUND),) if invariants else ()
    calls = ruleset.genesis_calls([rules], members, test_clock=True, epoch_blocks=EPOCH, market_time_ms=rules.from_ms)
    return Genesis(
        network="governed",
        time_ms=rules.from_ms + 1_000,
        validators=tuple(Validator(f"v{number}", "super", signers[number].public_key, signers[number + 4].public_key) for number in range(4)),
        ca_roots=(),
        contracts=(*(ContractSource(name, contract_source(name)) for name in ("rules", "identity")), *more),
        calls=(*calls, *((Call("till", "setup", ("genesis",)),) if invariants else ())),
        parameters=Parameters(window=4, epoch_blocks=EPOCH),
        test_clock=True,
        invariants=invariants,
    )


class Governed:
    """A chain with four members; every call is a block of its own."""

    def __init__(self, invariants: tuple[tuple[str, str], ...] = ()) -> None:
        self.genesis = genesis(invariants)
        self.executor = BlockExecutor(MemoryKV(), self.genesis)
        self.blocks: list[tuple[Batch, list[bytes]]] = []
        self._nonce = 0

    def block(self, *calls: tuple[str, Call]) -> ExecutedBlock:
        raws = []
        for name, call in calls:
            self._nonce += 1
            signer = MEMBERS.get(name) or KeySigner(name.encode().ljust(32, b"."))
            body = Body(self.genesis.chain_id, signer.public_key, self._nonce.to_bytes(16, "big"), self.executor.height + 100, 20_000_000, (call,))
            raws.append(Transaction.sign(body, signer).raw)
        batch = Batch(0, tuple(Transaction.decode(raw).wire_hash for raw in raws))
        self.blocks.append((batch, raws))
        block = self.executor.execute(self.executor.executed + 1, batch, raws)
        self.executor.finalise(block.header.height)
        return block

    def by(self, name: str, contract: str, method: str, *args: Value) -> Value:
        receipt = self.block((name, Call(contract, method, args))).receipts[-1]
        assert receipt.status == Status.OK, receipt.code
        return None if receipt.values[0] is None else values.from_wire(receipt.values[0])

    def refused(self, name: str, method: str, *args: Value) -> str:
        return self.block((name, Call("rules", method, args))).receipts[-1].code

    def view(self, contract: str, view: str, *args: Value, height: int | None = None) -> Value:
        result = self.executor.query(contract, view, args, height=height)
        assert result.status == Status.OK, result.code
        return values.from_wire(result.value)

    def proposal(self, number: int) -> tuple[Value, ...]:
        found = self.view("rules", "proposal", number)
        assert isinstance(found, tuple)
        return found

    def upload(self, name: str, source: str) -> str:
        source_hash = blake2b_256(source.encode()).hex()
        for part, start in enumerate(range(0, len(source), 700)):
            self.by(name, "rules", "upload_code", source_hash, part, source[start : start + 700])
        return source_hash

    def adopt(self, number: int) -> int:
        """Let everyone vote; the height at which it takes effect."""
        for name in ("authority", "exchange", "registry"):
            self.by(name, "rules", "vote", number, True)
        self.block()
        found = self.proposal(number)
        assert found[8] == "adopted", found
        assert isinstance(found[9], int)
        return found[9]

    def deploy(self, name: str, source: str, args: tuple[Value, ...] = ()) -> int:
        """Propose and adopt; the proposal."""
        proposal = self.by("authority", "rules", "propose_contract", name, self.upload("authority", source), args, "a reason")
        assert isinstance(proposal, int)
        self.run_to(self.adopt(proposal))
        return proposal

    def run_to(self, height: int) -> ExecutedBlock:
        block = self.block()
        while block.header.height < height:
            block = self.block()
        return block

    def version(self, name: str) -> int:
        stored = self.executor.value(layout.code_key(name))
        assert isinstance(stored, tuple)
        assert isinstance(stored[0], int)
        return stored[0]

    def replayed(self) -> bytes:
        """The header hash that a fresh executor comes to from the blocks alone."""
        again = BlockExecutor(MemoryKV(), self.genesis)
        for height, (batch, raws) in enumerate(self.blocks, 1):
            again.execute(height, batch, raws)
            again.finalise(height)
        return again.status().header_hash


@pytest.fixture
def chain() -> Governed:
    return Governed()


def test_a_contract_is_installed_upgraded_with_its_migration_and_rolled_back(chain: Governed) -> None:
    first = chain.deploy("till", TILL, ("ann",))
    assert chain.view("till", "whose") == "ann"
    assert chain.version("till") == 1
    chain.block()
    assert chain.proposal(first)[8] == "effective"
    chain.by("nobody", "till", "put", "bob", 5)
    before = chain.executor.height
    chain.deploy("till", TILL_2)
    assert (chain.version("till"), chain.view("till", "amount_of", "bob")) == (2, 500)
    assert chain.view("till", "amount_of", "bob", height=before) == 5
    rollback = chain.by("verifier", "rules", "propose_rollback", "till", 1, "fen were a mistake")
    assert isinstance(rollback, int)
    chain.run_to(chain.adopt(rollback))
    abi = chain.executor.abi("till")
    assert abi is not None
    assert abi.source_hash == blake2b_256(TILL.encode())
    assert (chain.version("till"), chain.view("till", "amount_of", "bob")) == (3, 500)
    assert chain.replayed() == chain.executor.status().header_hash


def test_the_migration_stands_in_the_block_with_receipt_and_event(chain: Governed) -> None:
    chain.deploy("till", TILL, ("ann",))
    proposal = chain.by("authority", "rules", "propose_contract", "till", chain.upload("authority", TILL_2), (), "fen")
    assert isinstance(proposal, int)
    block = chain.run_to(chain.adopt(proposal))
    names = [event.name for event in block.events]
    assert names == ["Migrated", "ProposalMoved"]
    assert block.job_count == 2
    assert all(receipt.status == Status.OK for receipt in block.receipts)


def test_the_hook_is_out_of_everyones_reach(chain: Governed) -> None:
    chain.deploy("till", TILL_2, ("ann",))
    assert chain.block(("nobody", Call("till", "migrate", (1,)))).receipts[-1].code == "vm.no-method"


def test_a_failing_hook_keeps_the_old_code_and_state(chain: Governed) -> None:
    chain.deploy("till", TILL, ("ann",))
    chain.by("nobody", "till", "put", "bob", 5)
    proposal = chain.deploy("till", BROKEN_HOOK)
    chain.block()
    assert (chain.version("till"), chain.view("till", "amount_of", "bob")) == (1, 5)
    assert chain.proposal(proposal)[8] == "failed"
    assert chain.view("rules", "proposal_verdict", proposal) == "epoch.hook-failed: till.broken"


def test_a_version_that_breaks_an_invariant_does_not_stop_the_chain() -> None:
    chain = Governed((("till", "sound"),))
    proposal = chain.deploy("till", SOUND + "\n@export\ndef migrate(old_version: int) -> None:\n    flaws.set(old_version)\n")
    chain.block()
    assert chain.view("rules", "proposal_verdict", proposal) == "epoch.invariant-broken"
    assert chain.version("till") == 1
    blind = chain.by("authority", "rules", "propose_contract", "till", chain.upload("authority", TILL), (), "no more checks")
    assert isinstance(blind, int)
    chain.block()
    assert chain.view("rules", "proposal_verdict", blind) == "epoch.code-invariant"


@pytest.mark.parametrize(
    ("source", "args", "code"),
    [
        ("import os\n", (), "epoch.code-refused"),
        (TILL, (), "epoch.code-same"),
        (TILL.replace("amounts = Map(str, int)", "amounts = Map(str, str)").replace("amounts.get(who, 0)", "5").replace("= 5 + amount", '= "x"').replace(
            "return amounts[who]", "return 1"), (), "epoch.code-storage"),
        (TILL_2, ("ann",), "epoch.code-arguments"),
    ],
)
def test_a_proposal_that_cannot_be_carried_out_is_closed_a_block_later(chain: Governed, source: str, args: tuple[Value, ...], code: str) -> None:
    chain.deploy("till", TILL, ("ann",))
    proposal = chain.by("authority", "rules", "propose_contract", "till", chain.upload("authority", source), args, "why not")
    assert isinstance(proposal, int)
    chain.block()
    assert chain.proposal(proposal)[8] == "refused"
    assert chain.view("rules", "proposal_verdict", proposal) == code
    assert chain.refused("exchange", "vote", proposal, True) == "GOVERN-DECIDED"


def test_rules_themselves_can_be_replaced_only_by_what_can_be_governed(chain: Governed) -> None:
    useless = "@view\ndef nothing() -> int:\n    return 0\n"
    proposal = chain.by("authority", "rules", "propose_contract", "rules", chain.upload("authority", useless), (), "a coup")
    assert isinstance(proposal, int)
    chain.block()
    assert chain.view("rules", "proposal_verdict", proposal) == "epoch.code-governing"


def test_only_the_ledger_reports(chain: Governed) -> None:
    assert chain.refused("authority", "ledger_report", "done", 0, "", 5) == "GOVERN-LEDGER-ONLY"


def test_code_that_a_proposal_names_is_locked_until_it_is_settled(chain: Governed) -> None:
    source_hash = chain.upload("authority", TILL)
    proposal = chain.by("authority", "rules", "propose_contract", "till", source_hash, ("ann",), "a till")
    assert isinstance(proposal, int)
    assert chain.refused("authority", "upload_code", source_hash, 0, "x") == "GOVERN-CODE-LOCKED"
    assert chain.refused("exchange", "propose_contract", "till", source_hash, (), "mine") == "GOVERN-CODE-MISSING"
    chain.by("exchange", "rules", "vote", proposal, False)
    assert chain.by("registry", "rules", "vote", proposal, False) == "rejected"
    assert chain.by("authority", "rules", "upload_code", source_hash, 0, "x") == 1


def test_parts_come_in_order_and_outsiders_upload_nothing(chain: Governed) -> None:
    source_hash = "0" * 64
    assert chain.refused("authority", "upload_code", source_hash, 1, "x") == "GOVERN-CODE-PART"
    chain.by("authority", "rules", "upload_code", source_hash, 0, "x")
    assert chain.refused("authority", "upload_code", source_hash, 0, "") == "GOVERN-CODE-PART"
    assert chain.refused("authority", "upload_code", "short", 0, "x") == "GOVERN-CODE-HASH"
    assert chain.refused("nobody", "upload_code", source_hash, 0, "x") == "ACCESS-UNKNOWN-KEY"


def keys(number: int) -> tuple[bytes, bytes]:
    return KeySigner(bytes([number]) * 32).public_key, KeySigner(bytes([number + 100]) * 32).public_key


def propose_validators(chain: Governed, *changes: Value) -> int:
    proposal = chain.by("authority", "rules", "propose_validators", tuple(changes), "the alliance grows")
    assert isinstance(proposal, int)
    return proposal


def names(validators: Sequence[Validator]) -> list[str]:
    return [validator.name for validator in validators]


def test_validators_join_rotate_and_leave_by_vote(chain: Governed) -> None:
    start = chain.adopt(propose_validators(chain, ("add", "v4", "coordination", *keys(30))))
    assert start % EPOCH == 0
    last = chain.run_to(start - 1)
    assert last.header.validators_hash != last.header.next_validators_hash
    chain.run_to(start)
    assert names(chain.executor.epochs()[0].validators) == ["v0", "v1", "v2", "v3", "v4"]
    chain.run_to(chain.adopt(propose_validators(chain, ("rotate", "v1", *keys(31)))))
    assert chain.executor.epochs()[0].validators[1].consensus_key == keys(31)[0]
    chain.run_to(chain.adopt(propose_validators(chain, ("remove", "v0"))))
    assert names(chain.executor.epochs()[0].validators) == ["v1", "v2", "v3", "v4"]
    assert chain.executor.epochs()[0].number == 3
    assert chain.replayed() == chain.executor.status().header_hash


def test_too_many_newcomers_are_refused_unless_the_whole_set_is_named(chain: Governed) -> None:
    proposal = propose_validators(chain, *[("add", f"v{number}", "super", *keys(number)) for number in (30, 31)])
    chain.block()
    assert chain.proposal(proposal)[8] == "refused"
    assert chain.view("rules", "proposal_verdict", proposal) == "epoch.validators-at-once"
    chain.run_to(chain.adopt(propose_validators(chain, *[("set", f"w{number}", "super", *keys(number)) for number in range(40, 47)])))
    assert names(chain.executor.epochs()[0].validators) == [f"w{number}" for number in range(40, 47)]


def test_changes_that_do_not_fit_into_one_epoch_take_their_turns(chain: Governed) -> None:
    proposals = [propose_validators(chain, ("add", f"v{number}", "super", *keys(number))) for number in (30, 31)]
    chain.run_to((chain.executor.height // EPOCH + 1) * EPOCH)
    starts = [chain.adopt(proposal) for proposal in proposals]
    chain.block()
    assert chain.proposal(proposals[1])[9] == starts[0] + EPOCH
    chain.run_to(starts[0])
    assert names(chain.executor.epochs()[0].validators)[4:] == ["v30"]
    chain.run_to(starts[0] + EPOCH)
    assert names(chain.executor.epochs()[0].validators)[4:] == ["v30", "v31"]


def test_a_decision_that_others_overtook_changes_nothing_and_says_so(chain: Governed) -> None:
    proposals = [propose_validators(chain, ("add", "v30", "super", *keys(number))) for number in (30, 31)]
    chain.run_to((chain.executor.height // EPOCH + 1) * EPOCH)
    chain.adopt(proposals[0])
    for name in ("authority", "exchange", "registry"):
        chain.by(name, "rules", "vote", proposals[1], True)
    chain.block()
    assert chain.proposal(proposals[1])[8] == "failed"
    assert chain.view("rules", "proposal_verdict", proposals[1]) == "epoch.validator-known"


def test_who_voted_and_why_is_on_the_chain(chain: Governed) -> None:
    proposal = propose_validators(chain, ("add", "v30", "super", *keys(30)))
    chain.by("exchange", "rules", "vote", proposal, True)
    chain.by("authority", "rules", "vote", proposal, False)
    assert chain.view("rules", "proposal_votes", proposal) == (("AUTHORITY-1", False), ("EXCHANGE-1", True))
    assert chain.view("rules", "proposal_details", proposal) == (("add", "v30", "super", *keys(30)),)
    assert chain.proposal(proposal)[4:6] == ("the alliance grows", "AUTHORITY-1")
    assert chain.view("rules", "latest_proposal") == proposal


def test_a_whole_set_of_forty_fits_into_a_proposal(chain: Governed) -> None:
    wanted = [("set", f"coordination-{number}", "coordination", *keys(number)) for number in range(1, 41)]
    chain.run_to(chain.adopt(propose_validators(chain, *wanted)))
    assert len(chain.executor.epochs()[0].validators) == 40
    assert chain.refused("authority", "propose_validators", (*wanted, ("remove", "x")), "too many") == "GOVERN-CHANGES"
