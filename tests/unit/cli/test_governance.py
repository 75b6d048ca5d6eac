"""`govern`, `contract deploy` and `rotate-keys` over the shipped contracts: what they print, and what they refuse before anything is sent."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from carbonnode.chain.genesis import Genesis
from carbonnode.chain.signing import KeySigner
from carbonnode.cli.main import run
from carbonnode.identity import NodeRequest, Strength, create_authority, create_node_keys
from carbonnode.identity.keystore import KeyStore
from carbonnode.node.config import NodeConfig, NodeSection
from carbonnode.node.directory import NodeDirectory
from tests.unit.node.chain_kit import make_genesis

SEED = b"\x43" * 32
KEY = "ab" * 32
WHY = ("--reason", "a test", "--from", "authority")
TILL = '"""A till."""\ntotal = Var(int)\n\n@init\ndef setup(first: int) -> None:\n    total.set(first)\n\n@view\ndef sum_of() -> int:\n    return total.get()\n'


@pytest.fixture
def command(
    market_node: Any, serve: Callable[[Any], str], wallets: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., Any]:
    KeyStore(wallets).create("authority", "correct horse", seed=SEED, strength=Strength.THROW_AWAY)
    market_node.market.by("authority", "identity", "add_key", KeySigner(SEED).public_key, 7, 1 << 60)
    monkeypatch.setenv("CARBONNODE_NODE", serve(market_node))

    def execute(*words: str, expected: int = 0) -> Any:
        capsys.readouterr()
        status = run([*words, "--json"])
        printed = capsys.readouterr()
        assert status == expected, printed.err
        document = json.loads(printed.out)
        return document["error"]["message"] if expected and "error" in document else document

    return execute


def test_a_proposal_is_made_listed_and_shown(command: Callable[..., Any]) -> None:
    made = command("govern", "validators", "add", "bank-1", "--role", "super", "--consensus-key", KEY, "--transport-key", "cd" * 32, *WHY)
    assert made["vote"] == f"carbonnode govern vote --proposal-id {made['proposal']} --accept true --from MEMBER --wait"
    removal = command("govern", "validators", "remove", "super-1", "super-2", *WHY)["proposal"]
    command("govern", "vote", "--proposal-id", str(removal), "--accept", "false", "--from", "authority", "--wait")
    listed = command("govern", "list")
    assert [(row["proposal"], row["kind"], row["subject"]) for row in listed] == [
        (removal, "validators", "remove:super-1 remove:super-2"),
        (made["proposal"], "validators", "add:bank-1"),
    ]
    assert command("govern", "list", "--state", "effective") == []
    assert len(command("govern", "list", "--last", "1")) == 1
    shown = command("govern", "show", str(removal))
    assert shown["votes"] == [{"entity": "AUTHORITY-1", "accept": False}]
    assert shown["details"] == [["remove", "super-1"], ["remove", "super-2"]]
    assert (shown["note"], shown["proposer"], shown["state"]) == ("a test", "AUTHORITY-1", "open")
    assert "there is no proposal 99" in command("govern", "show", "99", expected=1)


def test_a_changed_rule_is_shown_beside_what_is_in_force(command: Callable[..., Any]) -> None:
    """5 % proposed where 10 % is in force: the difference is seen before anybody votes."""
    words = ("--kind", "number", "--subject", "demo-nger", "--key", "listing_limit_bp", "--value", "500", "--note", "a calmer market")
    command("govern", "propose", *words, "--from", "authority", "--wait")
    number = command("govern", "list", "--last", "1")[0]["proposal"]
    shown = command("govern", "show", str(number))
    assert (shown["subject"], shown["key"], shown["in_force"], shown["value"]) == ("demo-nger", "listing_limit_bp", 1000, 500)
    assert (shown["proposer"], shown["state"]) == ("AUTHORITY-1", "open")


def test_the_voting_set_now_and_next(command: Callable[..., Any]) -> None:
    shown = command("govern", "validators", "list")
    assert (shown["epoch"], shown["first_height"], shown["next_first_height"]) == (2, 101, 151)
    assert len(shown["validators"]) == len(shown["next_validators"]) + 1
    assert set(shown["validators"][0]) == {"name", "role", "consensus_key", "transport_key"}


def test_a_set_from_a_file_replaces_the_whole_one(command: Callable[..., Any], tmp_path: Path) -> None:
    file = tmp_path / "next.json"
    file.write_text(json.dumps(command("govern", "validators", "list")["validators"]))
    number = command("govern", "validators", "replace", str(file), *WHY)["proposal"]
    assert {row[0] for row in command("govern", "show", str(number))["details"]} == {"set"}
    file.write_text('[{"name": "v0"}]')
    assert "write a list of name, role" in command("govern", "validators", "replace", str(file), *WHY, expected=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--consensus-key", "xyz", "--transport-key", KEY), "64 hex digits"),
        (("--consensus-key", KEY), "give --certificate FILE"),
        (("--consensus-key", KEY, "--transport-key", KEY[:10]), "64 hex digits"),
    ],
)
def test_keys_that_arent_keys_are_refused_before_anything_is_sent(command: Callable[..., Any], options: tuple[str, ...], message: str) -> None:
    assert message in command("govern", "validators", "rotate", "super-1", *options, *WHY, expected=1)
    assert command("govern", "list") == []


def test_deploy_uploads_in_parts_and_proposes(command: Callable[..., Any], tmp_path: Path) -> None:
    file = tmp_path / "till.py"
    file.write_text(TILL + "\n# " + "long " * 2_000 + "\n")
    made = command("contract", "deploy", str(file), "--name", "till", "--args", "[5]", *WHY)
    shown = command("govern", "show", str(made["proposal"]))
    assert (shown["kind"], shown["subject"], shown["details"]) == ("contract", "till", [5])
    assert len(shown["key"]) == 64
    rollback = command("contract", "rollback", "till", "--version", "2", *WHY)["proposal"]
    assert command("govern", "show", str(rollback))["value"] == 2


def test_deploy_refuses_what_the_checker_refuses(command: Callable[..., Any], tmp_path: Path) -> None:
    file = tmp_path / "till.py"
    file.write_text("import os\n")
    assert "isn't a contract" in command("contract", "deploy", str(file), "--name", "till", *WHY, expected=1)
    file.write_text(TILL)
    assert "no JSON list" in command("contract", "deploy", str(file), "--name", "till", "--args", "5", *WHY, expected=1)
    assert "nested too deep" in command("contract", "deploy", str(file), "--name", "till", "--args", "[" * 5000 + "]" * 5000, *WHY, expected=1)
    assert "can't be a contract's name" in command("contract", "deploy", str(file), "--name", "My Till", *WHY, expected=1)


def test_who_is_no_member_proposes_nothing(command: Callable[..., Any]) -> None:
    document = command("govern", "validators", "remove", "super-1", "--reason", "why not", "--from", "st-001", expected=1)
    assert (document["outcome"], document["code"]) == ("ABORT", "ACCESS-ROLE")


def test_rotate_keys_makes_them_once_and_wants_their_own_certificate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "passphrase").write_text("secret phrase\n")
    monkeypatch.setenv("CARBONNODE_PASSPHRASE_FILE", str(tmp_path / "passphrase"))
    authority = create_authority("test CA", 0, 1 << 42)
    base = make_genesis()
    genesis = Genesis(
        network="kit", time_ms=1, validators=base.validators.validators, ca_roots=(authority.certificate_pem.decode(),), contracts=base.contracts
    )
    node = NodeDirectory(tmp_path / "node")
    create_node_keys(node.keys_path, "secret phrase", strength=Strength.THROW_AWAY)
    node.create(NodeConfig(node=NodeSection(name="super-1", role="super")), genesis.to_json(), b"the old certificate")

    def command(*words: str, expected: int = 0) -> Any:
        capsys.readouterr()
        assert run(["rotate-keys", "--dir", str(node.path), *words, "--json"]) == expected
        return json.loads(capsys.readouterr().out)

    made = command()
    assert (made["name"], made["ready"]) == ("super-1", False)
    assert command() == made
    assert "lacks keys or their certificate" in command("--now", expected=1)["error"]["message"]

    def certify(name: str, key: str) -> str:
        request = NodeRequest(
            name=name, organisation="O", role="super", domain=f"{name}.carbonnode.example", transport_key=bytes.fromhex(key),
            chain_id=genesis.chain_id, not_before_ms=0, not_after_ms=1 << 41,
        )
        path = tmp_path / "fresh.pem"
        path.write_bytes(authority.issue(request))
        return str(path)

    assert command("--certificate", certify("super-1", made["consensus_key"]), expected=1)["error"]["code"] == "wrong-key"
    assert "is of super-9" in command("--certificate", certify("super-9", made["transport_key"]), expected=1)["error"]["message"]
    assert command("--certificate", certify("super-1", made["transport_key"]))["ready"] is True
    command("--now")
    assert {info.name: info.public_key.hex() for info in KeyStore(node.keys_path).list_keys()}["transport"] == made["transport_key"]
    assert (tmp_path / "node" / "keys.former-1").is_dir()


def test_people_get_tables(command: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    number = str(command("govern", "validators", "remove", "super-1", *WHY)["proposal"])
    command("govern", "vote", "--proposal-id", number, "--accept", "false", "--from", "authority", "--wait")
    monkeypatch.setattr("carbonnode.cli.output.Output.json", False)
    for words, expected in (
        (("govern", "list"), ("remove:super-1", "validators", "open")),
        (("govern", "show", number), ("votes", "AUTHORITY-1", "details", "remove, super-1")),
        (("govern", "validators", "list"), ("epoch 2, since height 101", "from height 151 on", "consensus_key")),
    ):
        assert run(list(words)) == 0
        printed = capsys.readouterr().out
        assert all(text in printed.replace("\n", " ") for text in expected), printed
