"""`carbonnode cert`: an authority, a certificate that the network accepts, and why it refuses others."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from carbonnode.chain.genesis import Genesis
from carbonnode.chain.signing import KeySigner
from carbonnode.chain.validators import Validator
from carbonnode.cli.main import run

KEY = KeySigner(b"\x07" * 32).public_key
Command = Callable[..., tuple[int, Any, str]]


@pytest.fixture
def command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Command:
    (tmp_path / "secret").write_text("open sesame\n")
    (tmp_path / "secret").chmod(0o600)
    monkeypatch.setenv("CARBONNODE_PASSPHRASE_FILE", str(tmp_path / "secret"))
    monkeypatch.chdir(tmp_path)

    def invoke(*argv: str) -> tuple[int, Any, str]:
        status = run([*argv, "--json"])
        captured = capsys.readouterr()
        return status, json.loads(captured.out), captured.err

    return invoke


@pytest.fixture
def issued(command: Command, tmp_path: Path) -> Callable[..., Path]:
    """An authority in `ca`, a genesis that trusts it, and certificates on demand."""
    assert command("cert", "authority", "--dir", "ca", "--name", "unit CA")[0] == 0
    voter = Validator("v1", "super", KeySigner(b"\x01" * 32).public_key, KeySigner(b"\x02" * 32).public_key)
    root = (tmp_path / "ca" / "ca.pem").read_text()
    genesis = Genesis(network="unit", time_ms=1, validators=(voter,), ca_roots=(root,), contracts=())
    (tmp_path / "genesis.json").write_bytes(genesis.to_json())

    def issue(name: str, key: bytes = KEY) -> Path:
        words = ("--name", name, "--organisation", "ORG", "--role", "super", "--domain", f"{name}.example.org", "--transport-key", key.hex())
        status, document, _ = command("cert", "issue", "--ca", "ca", "--genesis", "genesis.json", *words, "--out", f"{name}.pem")
        assert (status, document["name"], document["transport_key"]) == (0, name, key.hex())
        return tmp_path / f"{name}.pem"

    return issue


def test_what_is_issued_is_shown_and_accepted(command: Command, issued: Callable[..., Path]) -> None:
    issued("n1")
    status, shown, _ = command("cert", "show", "n1.pem")
    assert (status, shown["organisation"], shown["role"], shown["domain"]) == (0, "ORG", "super", "n1.example.org")
    status, checked, _ = command("cert", "check", "n1.pem", "--genesis", "genesis.json", "--domain", "example.org")
    assert (status, checked["ok"], checked["serial"]) == (0, True, shown["serial"])


def test_what_the_network_would_refuse_is_refused_with_its_code(command: Command, issued: Callable[..., Path]) -> None:
    issued("n1")
    status, document, errors = command("cert", "check", "n1.pem", "--genesis", "genesis.json", "--domain", "other.org")
    assert (status, document["ok"]) == (1, False)
    assert "other.org" in errors or "domain" in errors
    issued("v1")  # a validator's name with another key than genesis gives it
    assert command("cert", "check", "v1.pem", "--genesis", "genesis.json")[0] == 1


def test_revoked_certificates_stay_on_the_list(command: Command, issued: Callable[..., Path], tmp_path: Path) -> None:
    issued("n1")
    issued("n2", KeySigner(b"\x08" * 32).public_key)
    assert command("cert", "revoke", "--ca", "ca", "--out", "revocations.pem", "n1.pem")[0] == 0
    status, document, _ = command("cert", "revoke", "--ca", "ca", "--out", "revocations.pem", "n2.pem")
    assert (status, len(document["revoked"])) == (0, 2)
    for name in ("n1", "n2"):
        status, document, _ = command("cert", "check", f"{name}.pem", "--genesis", "genesis.json", "--crl", "revocations.pem")
        assert (status, document["ok"]) == (1, False)
        assert "revoked" in document["reason"]


def test_init_refuses_what_is_not_the_nodes_certificate(command: Command, issued: Callable[..., Path], tmp_path: Path) -> None:
    """A file that is no certificate, another node's, and one for other keys are named before anything is made; the right one makes the node."""
    init = ("init", "--dir", "node", "--role", "coordination", "--name", "n1")
    status, document, _ = command(*init)
    assert (status, document["ready"]) == (0, False)
    right = bytes.fromhex(document["transport_key"])
    for file, says in (
        ("genesis.json", "malformed-certificate"),
        (issued("n2", right), "is the certificate of n2, not of n1"),
        (issued("n1"), f"is for transport key {KEY.hex()}"),
    ):
        status, document, errors = command(*init, "--genesis", "genesis.json", "--certificate", str(file))
        assert status == 1
        assert says in errors
        assert not (tmp_path / "node" / "config.toml").exists()
    (tmp_path / "n1.pem").unlink()
    status, document, _ = command(*init, "--genesis", "genesis.json", "--certificate", str(issued("n1", right)))
    assert (status, document["ready"]) == (0, True)


def test_mistakes_are_named(command: Command, issued: Callable[..., Path], tmp_path: Path) -> None:
    issued("n1")
    words = ("cert", "issue", "--ca", "ca", "--genesis", "genesis.json", "--name", "n1", "--organisation", "O", "--role", "super", "--domain", "n1.example.org")
    assert "is there already" in command(*words, "--transport-key", KEY.hex(), "--out", "n1.pem")[2]
    assert "64 hex digits" in command(*words, "--transport-key", "12", "--out", "n3.pem")[2]
    (tmp_path / "broken.pem").write_text("nothing")
    assert command("cert", "check", "broken.pem", "--genesis", "genesis.json")[0] == 1
    assert command("cert", "authority", "--dir", "ca", "--name", "again")[0] == 1
