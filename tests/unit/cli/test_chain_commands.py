"""Commands that talk to a node, and wallets: documents, exit statuses, what errors say."""

import json
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from carbonnode.chain.fault_proof import FaultProof
from carbonnode.chain.receipt import Receipt, Status
from carbonnode.chain.service import GasEstimate, ServiceRefusal
from carbonnode.chain.signing import KeySigner
from carbonnode.cli.main import run
from carbonnode.consensus.messages import prepare_bytes
from tests.unit.node.chain_kit import SIGNERS, make_genesis

OWNER = KeySigner(b"\x42" * 32)
DEPOSIT = ("tx", "call", "cash", "deposit", "--arg", "entity=ST-001", "--arg", "amount_fen=5", "--arg", "ref=r", "--from", "st-001")
Command = Callable[..., tuple[int, Any, str]]


@pytest.fixture
def command(node: Any, serve: Callable[[Any], str], wallets: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    """Run a command line against the node: exit status, the one JSON document, stderr."""
    monkeypatch.setenv("CARBONNODE_NODE", serve(node))

    def invoke(*argv: str) -> tuple[int, Any, str]:
        status = run([*argv, "--json"])
        captured = capsys.readouterr()
        return status, json.loads(captured.out) if captured.out else None, captured.err

    return invoke


def test_a_call_is_sent_and_awaited(command: Command, node: Any) -> None:
    status, document, errors = command(*DEPOSIT, "--wait")
    assert status == 0
    assert (document["status"], document["outcome"], document["code"], document["height"]) == ("final", "OK", "", 8)
    assert document["tx_id"] in errors
    transaction, _, _ = node.found[bytes.fromhex(document["tx_id"])]
    assert transaction.body.calls[0].args == ("ST-001", 5, "r")
    assert transaction.body.sender == OWNER.public_key
    status, document, _ = command(*DEPOSIT)
    assert (status, document["status"], document["height"]) == (0, "pending", None)


FAIL = ("tx", "call", "cash", "fail", "--from", "st-001")


def test_a_failed_call_exits_1_with_its_code(command: Command) -> None:
    status, document, errors = command(*FAIL, "--wait", "--force")
    assert (status, document["status"], document["outcome"], document["code"]) == (1, "final", "ABORT", "CASH-AVAILABLE")
    assert (document["gas_limit"], document["gas_source"]) == (2_000_000, "default")
    assert "[CASH-AVAILABLE]" in errors
    assert "carbonnode account balance" in errors


def test_what_the_contract_would_refuse_is_not_sent(command: Command, node: Any) -> None:
    for wait in ((), ("--wait",)):
        status, document, errors = command(*FAIL, *wait)
        assert (status, document["status"], document["outcome"], document["code"]) == (1, "refused", "ABORT", "CASH-AVAILABLE")
        assert (document["tx_id"], document["gas_limit"], document["gas_source"]) == ("", None, None)
        assert "[CASH-AVAILABLE]: a dry run says" in errors
        assert "carbonnode account balance" in errors
        assert "--force" in errors
    assert node.found == {}


def test_the_declared_gas_is_shown_and_can_be_given(command: Command, node: Any) -> None:
    def declared(document: Any) -> tuple[int, str]:
        assert node.found[bytes.fromhex(document["tx_id"])][0].body.gas_limit == document["gas_limit"]
        return document["gas_limit"], document["gas_source"]

    assert declared(command(*DEPOSIT)[1]) == (100_084, "estimate")
    assert declared(command(*DEPOSIT, "--wait")[1]) == (100_084, "estimate")
    asked = len(node.estimated)
    assert declared(command(*DEPOSIT, "--gas", "77777")[1]) == (77_777, "given")
    assert declared(command(*DEPOSIT, "--gas", "777777777777")[1]) == (200_000_000, "given")
    assert len(node.estimated) == asked
    node.estimate_refusal = ServiceRefusal("this node stands alone", code="not-ready")
    status, document, errors = command(*DEPOSIT, "--wait")
    assert (status, *declared(document)) == (0, 2_000_000, "default")
    assert "the gas limit is the default, 2000000: this node stands alone" in errors
    assert command(*DEPOSIT, "--gas", "0")[0] == 2


def test_a_call_that_waits_for_what_is_under_way_is_tried_again(command: Command, node: Any) -> None:
    answers = [GasEstimate(7, "ABORT", "CASH-AVAILABLE", 1, 0, 1), GasEstimate(8, "ABORT", "CASH-AVAILABLE", 1, 0, 1), GasEstimate(9, "OK", "", 9, 100_018, 0)]

    async def estimate(*_: object, **__: object) -> GasEstimate:
        return answers.pop(0)

    node.estimate = estimate
    status, document, _ = command(*DEPOSIT, "--wait")
    assert (status, document["status"], document["gas_limit"]) == (0, "final", 100_018)
    assert answers == []


def test_a_call_that_ran_out_of_gas_says_what_to_try(command: Command, node: Any) -> None:
    admit = node._admit

    def exhausted(raw: bytes) -> Any:
        answer = admit(raw)
        tx, _, height = node.found[answer.tx_id]
        node.found[answer.tx_id] = (tx, Receipt(tx.id, Status.OUT_OF_GAS, "vm.out-of-gas", tx.body.gas_limit, 0, 0, ()), height)
        return answer

    node._admit = exhausted
    status, document, errors = command(*DEPOSIT, "--wait")
    assert (status, document["outcome"], document["gas_used"]) == (1, "OUT_OF_GAS", 100_084)
    assert "[vm.out-of-gas]" in errors
    assert "send it again with --gas 400336" in errors
    assert "the most a transaction may have" in command(*DEPOSIT, "--wait", "--gas", "200000000")[2]


def test_a_refused_transaction_exits_1(command: Command, node: Any) -> None:
    node.full = True
    status, document, errors = command(*DEPOSIT)
    assert (status, document["error"]["code"]) == (1, "mempool-full")
    assert "try again" in errors


def test_a_transaction_is_shown_and_its_proof_verified_offline(command: Command, node: Any, tmp_path: Path) -> None:
    _, sent, _ = command(*DEPOSIT, "--wait")
    proof, genesis = tmp_path / "proof.json", tmp_path / "genesis.json"
    status, shown, _ = command("tx", "show", sent["tx_id"], "--proof", str(proof))
    assert (status, shown["status"], shown["tx_id"]) == (0, "final", sent["tx_id"])
    genesis.write_bytes(node.genesis_data.to_json())
    status, verified, _ = command("verify", str(proof), "--genesis", str(genesis))
    assert (status, verified["verified"], verified["tx_id"], verified["status"]) == (0, True, sent["tx_id"], "OK")
    tampered = json.loads(proof.read_text())
    tampered["receipt_path"]["size"] = 2
    proof.write_text(json.dumps(tampered))
    status, verified, errors = command("verify", str(proof), "--genesis", str(genesis))
    assert (status, verified["verified"]) == (1, False)
    assert "doesn't hold" in errors
    status, unknown, _ = command("tx", "show", "00" * 32)
    assert (status, unknown["status"]) == (0, "unknown")


def test_a_query_is_signed_only_when_a_wallet_is_named(command: Command, node: Any) -> None:
    status, document, errors = command("query", "cash", "balance", "--arg", "entity=ST-001")
    assert (status, document["outcome"], document["code"]) == (1, "ABORT", "ACCESS-READ")
    assert "--from" in errors
    status, document, _ = command("query", "cash", "balance", "--arg", "entity=ST-001", "--from", "st-001", "--height", "3")
    assert (status, document["value"]) == (0, [100, 0])
    assert node.queried[-1][3:] == (OWNER.public_key, 3)


def test_arguments_come_in_the_types_of_the_interface(command: Command) -> None:
    given = ("i=-5", "s=a=b", "b=0x00ff", "f=true", 't=[1, "x", {"hex": "01"}]')
    status, document, _ = command("query", "echo", "back", *[part for pair in given for part in ("--arg", pair)])
    assert (status, document["value"]) == (0, [-5, "a=b", {"hex": "00ff"}, True, [1, "x", {"hex": "01"}]])


@pytest.mark.parametrize(
    ("argv", "says"),
    [
        (("query", "cahs", "balance"), "did you mean cash?"),
        (("query", "cash", "balanse"), "did you mean balance?"),
        (("query", "cash", "balance", "--arg", "entiti=X"), "did you mean entity?"),
        (("query", "cash", "balance"), "also needs entity"),
        (("query", "cash", "balance", "--arg", "entity"), "name=value"),
        (("query", "cash", "deposit"), "tx call"),
        (("tx", "call", "cash", "balance", "--from", "st-001"), "query it"),
        ((*DEPOSIT[:6], "--arg", "amount_fen=1.5", "--arg", "ref=r", "--from", "st-001"), "'1.5' is no int"),
        (("tx", "call", "cash", "fail", "--from", "st-002"), "did you mean st-001?"),
    ],
)
def test_slips_of_the_pen_are_named_with_a_suggestion(command: Command, argv: tuple[str, ...], says: str) -> None:
    status, document, errors = command(*argv)
    assert status == 1
    assert says in errors
    assert says in document["error"]["message"]
    assert "Traceback" not in errors


def test_blocks_status_and_events(command: Command, node: Any, make_trade: Any) -> None:
    assert command("status")[1]["height"] == 7
    assert command("block", "3")[1]["height"] == 3
    assert [block["height"] for block in command("block", "--count", "2")[1]] == [6, 7]
    status, _, errors = command("block", "8")
    assert status == 1
    assert "last is 7" in errors
    node.records.append(make_trade(5, 6200))
    status, events, _ = command("events", "--first-height", "1", "--limit", "1")
    assert (status, events[0]["event"]["name"]) == (0, "Trade")
    assert run(["events", "--private"]) == 2


def test_wallets_are_made_listed_backed_up_and_restored(wallets: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def invoke(*argv: str) -> Any:
        assert run([*argv, "--json"]) == 0, capsys.readouterr().err
        return json.loads(capsys.readouterr().out)

    made = invoke("wallet", "new", "trader-1")
    assert [row["name"] for row in invoke("wallet", "list")] == ["st-001", "trader-1"]
    assert invoke("wallet", "show", "trader-1")["public_key"] == made["public_key"]
    key_file = wallets / "trader-1.key.json"
    assert stat.S_IMODE(key_file.stat().st_mode) == 0o600
    backup, other = tmp_path / "backup.json", tmp_path / "other"
    assert invoke("wallet", "backup", str(backup))["wallets"] == 2
    assert {row["name"] for row in invoke("wallet", "restore", str(backup), "--wallets", str(other))} == {"st-001", "trader-1"}
    assert run(["wallet", "new", "trader-1", "--json"]) == 1  # never overwritten
    assert key_file.read_bytes() == (other / "trader-1.key.json").read_bytes()


def test_a_wrong_or_missing_passphrase_is_said(command: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = tmp_path / "wrong"
    wrong.write_text("battery staple\n")
    monkeypatch.setenv("CARBONNODE_PASSPHRASE_FILE", str(wrong))
    status, document, errors = command(*DEPOSIT)
    assert (status, document["error"]["code"]) == (1, "keystore")
    assert "passphrase" in errors
    monkeypatch.delenv("CARBONNODE_PASSPHRASE_FILE")
    assert "CARBONNODE_PASSPHRASE_FILE" in command(*DEPOSIT)[2]


def test_no_command_takes_a_passphrase_or_a_key() -> None:
    for argv in (["wallet", "new", "x", "--passphrase", "y"], ["tx", "call", "a", "b", "--from", "x", "--key", "y"]):
        assert run(argv) == 2


def test_a_validators_fault_is_verified_offline(command: Command, tmp_path: Path) -> None:
    genesis = make_genesis()
    path, trusted = tmp_path / "fault.json", tmp_path / "genesis.json"
    trusted.write_bytes(genesis.to_json())
    votes = [(digest, SIGNERS[0].sign(prepare_bytes(genesis.chain_id, 0, 2, 7, digest))) for digest in (b"a" * 32, b"b" * 32)]
    path.write_bytes(FaultProof(1, genesis.chain_id, "prepare", 0, 2, 7, 0, *votes[0], *votes[1], ()).to_json())
    status, verified, _ = command("verify", str(path), "--genesis", str(trusted))
    assert (status, verified["verified"], verified["validator"], verified["height"]) == (0, True, "super-1", 7)
    path.write_bytes(FaultProof(1, genesis.chain_id, "prepare", 0, 3, 7, 0, *votes[0], *votes[1], ()).to_json())
    status, refused, errors = command("verify", str(path), "--genesis", str(trusted))
    assert (status, refused["verified"], refused["code"]) == (1, False, "signature")
    assert "doesn't hold" in errors
