"""What a devnet writes down, and how it finds its processes again."""

import os
import signal
import socket
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from carbonnode.chain.signing import KeySigner
from carbonnode.chain.transaction import Body, Call, Transaction
from carbonnode.devnet import processes
from carbonnode.devnet.chunks import batched
from carbonnode.devnet.genesis import describe, make_authority, make_genesis, make_keys, node_names
from carbonnode.devnet.layout import Layout
from carbonnode.devnet.ports import claim_ports
from carbonnode.devnet.processes import ProcessId, read_process, start_of
from carbonnode.devnet.wallets import Wallets
from carbonnode.devnet.year_journal import FILE, YearJournal
from carbonnode.errors import ConfigError


def test_nodes_and_ports_of_the_interface() -> None:
    description = describe(4, 1, 28_000)
    assert [(n.name, n.role, n.peer_port, n.api_port) for n in description.nodes] == [
        ("super-1", "super", 28_000, 28_001),
        ("super-2", "super", 28_010, 28_011),
        ("coordination-1", "coordination", 28_020, 28_021),
        ("coordination-2", "coordination", 28_030, 28_031),
        ("user-1", "user", 28_040, 28_041),
    ]
    assert description.nodes[0].api == "http://127.0.0.1:28001"


@pytest.mark.parametrize(("validators", "users"), [(0, 1), (32, 0), (4, -1), (4, 99)])
def test_impossible_networks_are_refused(validators: int, users: int) -> None:
    with pytest.raises(ConfigError, match="a devnet has"):
        node_names(validators, users)


def test_a_busy_port_is_named_and_a_default_one_is_passed_over() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=f"port {port} is busy"):
            claim_ports(1, port)
        with pytest.raises(ConfigError, match=f"port {port} is busy"):
            claim_ports(1, port - 1)
    with pytest.raises(ConfigError, match=r"must lie in 1\.\.65535"):
        claim_ports(5, 65_530)


def test_two_that_start_at_once_get_different_ports() -> None:
    with claim_ports(1, None) as first, claim_ports(1, None) as second:
        assert first.base >= 27_000
        assert second.base > first.base
        with pytest.raises(ConfigError, match=f"another devnet is starting on port {first.base}"):
            claim_ports(1, first.base)
    with claim_ports(1, first.base) as again:
        assert again.base == first.base


def test_keys_genesis_and_members(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "net")
    description = describe(4, 1, 28_000)
    validators, transport = make_keys(layout, description)
    genesis = make_genesis(layout, description, validators, make_authority(layout), {})
    assert [v.name for v in genesis.validators.validators] == ["super-1", "super-2", "coordination-1", "coordination-2"]
    assert set(transport) == {n.name for n in description.nodes}
    members = [call.args for call in genesis.calls if call.method == "genesis_member"]
    assert [(m[0], m[2]) for m in members] == [("EXCHANGE-1", 4), ("REGISTRY-1", 24), ("AUTHORITY-1", 1), ("VERIFIER-1", 2)]
    assert genesis.test_clock
    assert genesis.parameters.python == f"{sys.version_info.major}.{sys.version_info.minor}"
    assert layout.passphrase_path.stat().st_mode & 0o077 == 0
    wallets = Wallets(layout.wallets, layout.passphrase())
    wallets.ensure(["st-001", "super-1"])
    assert wallets.signer("super-1").public_key == members[0][3]
    assert len(wallets.signer("st-001").public_key) == 32


def test_a_missing_or_damaged_description_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="devnet up --dir"):
        Layout(tmp_path).describe()
    (tmp_path / "devnet.json").write_text("{")
    with pytest.raises(ConfigError, match="make the devnet anew"):
        Layout(tmp_path).describe()


def test_a_process_is_known_by_id_and_start(tmp_path: Path) -> None:
    child = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    started = start_of(child.pid)
    assert started is not None
    file = tmp_path / "pid"
    file.write_bytes(msgspec.json.encode(ProcessId(child.pid, started)))
    assert read_process(file) == ProcessId(child.pid, started)
    # The same id with another start is somebody else's process: it is never touched.
    stranger = ProcessId(child.pid, "1")
    processes.signal_process(stranger, signal.SIGKILL)
    assert processes.end([stranger]) == []
    assert start_of(child.pid) == started
    assert processes.end([ProcessId(child.pid, started)]) == []
    assert read_process(file) is None
    assert child.stdin is not None
    child.stdin.close()
    child.returncode = 0


def test_a_process_that_ignores_the_request_is_killed(tmp_path: Path) -> None:
    code = "import signal, sys; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('ready', flush=True); sys.stdin.read()"
    child = subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE)
    assert child.stdout is not None
    assert child.stdin is not None
    assert child.stdout.readline() == b"ready\n"
    started = start_of(child.pid)
    assert started is not None
    process = ProcessId(child.pid, started)
    assert processes.end([process], patience_s=0.3) == [process]
    assert not processes.alive(process)
    child.stdout.close()
    child.stdin.close()
    child.returncode = 0


def test_a_damaged_pid_file_is_named(tmp_path: Path) -> None:
    file = tmp_path / "devnet.pid"
    file.write_text("12")
    with pytest.raises(ConfigError, match=r"devnet\.pid can't be read"):
        read_process(file)
    assert read_process(tmp_path / "nothing") is None


def sample(key: str) -> Transaction:
    signer = KeySigner(key.encode().ljust(32, b"\0"))
    return Transaction.sign(Body(bytes(32), signer.public_key, os.urandom(16), 9, 1, (Call("a", "b"),)), signer)


def test_the_year_journal_keeps_the_newest_and_drops_a_torn_line(tmp_path: Path) -> None:
    journal = YearJournal(tmp_path)
    first, second, newer = sample("1"), sample("2"), sample("3")
    journal.put({"a": first, "b": second})
    journal.put({"a": newer})
    journal.close()
    path = tmp_path / FILE
    assert path.stat().st_mode & 0o077 == 0
    with path.open("ab") as file:
        file.write(b'{"key":"c","raw":"')
    again = YearJournal(tmp_path)
    assert len(again) == 2
    found = again.get("a")
    assert found is not None
    assert found.raw == newer.raw
    assert again.get("c") is None
    again.put({"c": first})
    again.close()
    whole = YearJournal(tmp_path)
    assert len(whole) == 3
    whole.close()


def test_a_damaged_year_journal_names_the_line(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b'{"key":"a","raw":"AAAA"}\n')
    with pytest.raises(ConfigError, match="line 1"):
        YearJournal(tmp_path)


def test_batches() -> None:
    assert list(batched([1, 2, 3], 2)) == [(1, 2), (3,)]
    assert list(batched([], 2)) == []
