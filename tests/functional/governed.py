"""A toy network with the shipped `rules` and `identity`: four members vote, validators and contracts change."""

import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx

from carbonnode.chain.genesis import ContractSource, Parameters
from carbonnode.chain.hashing import blake2b_256
from carbonnode.chain.proof import VerifiedTransaction, parse_proof, verify_proof
from carbonnode.chain.transaction import Call, Transaction
from carbonnode.chain.validators import Validator
from carbonnode.chain.values import Value
from carbonnode.identity import NodeRequest, Strength, create_node_keys
from carbonnode.local import ruleset
from carbonnode.node.config import StorageSection
from carbonnode.resources import contract_source
from tests.functional.harness import BANK, DAY_MS, DOMAIN, PASSPHRASE, SUPPLY, TOY, NodeHandle, ToyNetwork, signer

MEMBERS = {"AUTHORITY-1": ruleset.AUTHORITY, "EXCHANGE-1": ruleset.EXCHANGE, "REGISTRY-1": ruleset.REGISTRY | ruleset.CASH, "VERIFIER-1": ruleset.VERIFIER}
PARAMETERS = Parameters(window=6, epoch_blocks=12, idle_block_ms=200)
"""Short epochs, and blocks without waiting for transactions: a vote takes effect within seconds."""
CALL = TOY[TOY.index('    org = call("identity"') : TOY.index("    return balances[to]")]


class GovernedNetwork(ToyNetwork):
    """Everybody dials everybody; the members' keys are `signer(entity)`."""

    def __init__(
        self,
        directory: Path,
        *,
        followers: Sequence[str] = (),
        users: Sequence[tuple[str, str]] = (),
        parameters: Parameters = PARAMETERS,
        storage: StorageSection | None = None,
    ) -> None:
        self.parameters = parameters
        super().__init__(directory, parameters=parameters, followers=followers, users=users, storage=storage)

    def base_contracts(self) -> tuple[ContractSource, ...]:
        shipped = tuple(ContractSource(name, contract_source(name)) for name in ("rules", "identity"))
        return (*shipped, ContractSource("toy", TOY.replace(CALL, "")))

    def genesis_calls(self) -> tuple[Call, ...]:
        rules = ruleset.load("demo-nger")
        members = [ruleset.Member(entity, entity, roles, signer(entity).public_key) for entity, roles in MEMBERS.items()]
        calls = ruleset.genesis_calls([rules], members, test_clock=True, epoch_blocks=self.parameters.epoch_blocks, market_time_ms=rules.from_ms)
        return (*calls, Call("toy", "start", (BANK.public_key, SUPPLY)))

    def dialled_by(self, name: str) -> Sequence[Validator]:
        return [self.voter(other) for other, node in self.nodes.items() if node.role != "user"]

    def voter(self, name: str) -> Validator:
        """A node as a validator."""
        consensus, transport = self.keys[name]
        return Validator(name, self.nodes[name].role, consensus.public_key, transport.public_key)

    def act(self, node: NodeHandle, entity: str, method: str, *args: Value) -> Any:
        """A member's call of `rules`, final and OK; what it returned."""
        tx = self.sign(signer(entity), Call("rules", method, args), max(node.height, 0))
        self.submit(node, [tx])
        (found,) = self.settle(node, [tx])
        assert found["outcome"] == "OK", found
        return found["values"][0]

    def view(self, node: NodeHandle, contract: str, view: str, *args: Value) -> Any:
        """Any contract's view."""
        answer = httpx.post(f"{node.url}/v1/contracts/{contract}/{view}", json={"args": list(args)}, timeout=10.0)
        assert answer.status_code == 200, answer.text
        return answer.json()["value"]

    def adopt(self, node: NodeHandle, proposal: int) -> int:
        """Three of four members vote for it; the height at which it takes effect."""
        for entity in ("AUTHORITY-1", "EXCHANGE-1", "REGISTRY-1"):
            state = self.act(node, entity, "vote", proposal, True)
        assert state == "adopted", self.view(node, "rules", "proposal_verdict", proposal)

        def scheduled() -> int | None:
            found = self.view(node, "rules", "proposal", proposal)
            assert found[8] == "adopted", (found, self.view(node, "rules", "proposal_verdict", proposal))
            # The ledger reports a block later, and may have moved it.
            return int(found[9]) if node.reached(decided + 2) else None

        decided = node.height
        height: int = self.wait(f"proposal {proposal} to be scheduled", scheduled)
        return height

    def change_validators(self, node: NodeHandle, *changes: Value) -> int:
        """Propose and adopt; the first height of the new set."""
        proposal = self.act(node, "AUTHORITY-1", "propose_validators", tuple(changes), "a test of membership")
        return self.adopt(node, int(proposal))

    def joins(self, name: str) -> Value:
        """The change by which a node joins."""
        who = self.voter(name)
        return ("add", name, who.role, who.consensus_key, who.transport_key)

    def fresh_keys(self, name: str) -> Value:
        """Lay new keys and their certificate down for a node; the change by which they replace the present ones."""
        path = self.nodes[name].directory.next_path
        self.keys[name] = create_node_keys(path / "keys", PASSPHRASE, strength=Strength.THROW_AWAY)
        now_ms = time.time_ns() // 1_000_000
        who = self.voter(name)
        request = NodeRequest(
            name=name, organisation=self.nodes[name].organisation, role=who.role, domain=f"{name}.{DOMAIN}", transport_key=who.transport_key,
            chain_id=self.genesis.chain_id, not_before_ms=now_ms - DAY_MS, not_after_ms=now_ms + 20 * DAY_MS,
        )
        (path / "certificate.pem").write_bytes(self.authority.issue(request))
        return ("rotate", name, who.consensus_key, who.transport_key)

    def upload(self, node: NodeHandle, entity: str, source: str) -> str:
        """Put a contract's source on the chain; its hash."""
        source_hash = blake2b_256(source.encode()).hex()
        for part, start in enumerate(range(0, len(source), 4_000)):
            self.act(node, entity, "upload_code", source_hash, part, source[start : start + 4_000])
        return source_hash

    def proof(self, node: NodeHandle, tx: Transaction) -> bytes:
        """A transaction's proof file."""
        answer = httpx.get(f"{node.url}/v1/transactions/{tx.id.hex()}/proof", timeout=10.0)
        assert answer.status_code == 200, answer.text
        return answer.content

    def verify(self, proof: bytes) -> VerifiedTransaction:
        """Check a proof file with nothing but genesis."""
        return verify_proof(parse_proof(proof), self.genesis)


