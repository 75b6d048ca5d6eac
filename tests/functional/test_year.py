"""`make devnet` end to end with real processes: the network, the market year, its recomputation; then the same year while validators are killed."""

import asyncio
import contextlib
import json
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from carbonnode.devnet import processes
from carbonnode.devnet.chaos import Chaos, Habits, during
from carbonnode.devnet.demo import run_demo
from carbonnode.devnet.layout import Layout
from carbonnode.devnet.status import down
from carbonnode.devnet.up import up, wait_for_blocks
from carbonnode.devnet.year_ports import Silent
from carbonnode.storage.crashpoints import POINTS

ROOT = Path(__file__).resolve().parents[2]
OUTCOME = "62c6c2cd286320b9eb730e0be78d06ac60ad10306d45033d0101f5aab62453f4"
"""The outcome of the shipped year (`outcome_digest`): changes only with contracts, rule set, data or plan, and then on purpose."""

pytestmark = [pytest.mark.functional, pytest.mark.timeout(540)]


def carbonnode(*arguments: str, check: bool = True) -> "subprocess.CompletedProcess[str]":
    """Run a command from another folder, as an installed program would be."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-m", "carbonnode", *arguments], capture_output=True, text=True, check=False, cwd="/", env=environment)
    assert not check or done.returncode == 0, done.stderr
    return done


def free_base() -> int:
    """Ports of its own for each test process, so that several networks run side by side: the first base whose ports are all free."""
    for base in range(28_000 + 100 * (os.getpid() % 40), 32_000, 100):
        with contextlib.ExitStack() as stack, contextlib.suppress(OSError):
            for port in [base + 10 * node + api for node in range(5) for api in (0, 1)]:
                stack.enter_context(socket.socket()).bind(("127.0.0.1", port))
            return base
    raise AssertionError("no free ports from 28000 to 32000")


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A devnet brought up by the command."""
    directory = tmp_path_factory.mktemp("year") / "net"
    carbonnode("devnet", "up", "--dir", str(directory), "--base-port", str(free_base()), "--json")
    yield directory
    down(directory)


@pytest.fixture(scope="module")
def year(network: Path) -> dict[str, Any]:
    """The year by the command: exactly one JSON document on stdout."""
    done = carbonnode("devnet", "demo", "--dir", str(network), "--json")
    assert "trading day" in done.stderr or "2025-11-19" in done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def test_up_makes_the_nodes_of_the_interface(network: Path) -> None:
    nodes = json.loads(carbonnode("devnet", "status", "--dir", str(network), "--json").stdout)["nodes"]
    assert [n["name"] for n in nodes] == ["super-1", "super-2", "coordination-1", "coordination-2", "user-1"]
    assert {"name", "role", "pid", "api", "height", "header_hash", "state_root", "view", "peers"} <= set(nodes[0])
    assert all(n["height"] >= 1 and n["pid"] for n in nodes)
    assert (network / "ca" / "ca.pem").is_file()
    assert (network / "wallets" / "coordination-1.key.json").is_file()


def test_a_second_up_says_that_it_runs(network: Path) -> None:
    done = carbonnode("devnet", "up", "--dir", str(network), check=False)
    assert done.returncode == 1
    assert "runs already" in done.stderr


def test_a_busy_explicit_port_is_an_error(network: Path, tmp_path: Path) -> None:
    base = Layout(network).describe().base_port
    done = carbonnode("devnet", "up", "--dir", str(tmp_path / "other"), "--base-port", str(base), check=False)
    assert done.returncode == 1
    assert f"port {base} is busy" in done.stderr
    assert not (tmp_path / "other" / "devnet.json").exists()


def test_the_year_ends_as_it_must(year: dict[str, Any]) -> None:
    assert year["outcome_digest"] == OUTCOME
    assert (year["accounts_opened"], year["accounts_covered"], len(year["days"])) == (187, 91, 10)
    assert year["statuses"] == {"A": 90, "B": 1, "N": 96}
    assert len(year["vouchers"]) == sum(year["voucher_count"].values())
    assert year["conserved"] is True


def test_all_nodes_name_one_root(year: dict[str, Any]) -> None:
    chain = year["chain"]
    assert chain["one_root"] is True
    assert [n["name"] for n in chain["validators"]] == ["super-1", "super-2", "coordination-1", "coordination-2"]
    assert {n["state_root"] for n in chain["validators"]} == {chain["state_root"]}
    (user,) = chain["users"]
    assert (user["organisation"], user["state_root"], user["header_hash"]) == ("ORIGIN-ENERGY", chain["state_root"], chain["header_hash"])
    assert user["signers"] >= 3


def test_the_exported_proof_verifies_offline_and_a_changed_one_does_not(year: dict[str, Any], network: Path, tmp_path: Path) -> None:
    assert (year["proof"]["verified"], year["proof"]["status"]) == (True, "OK")
    proof, genesis = Path(year["proof"]["file"]), str(network / "genesis.json")
    assert json.loads(carbonnode("verify", str(proof), "--genesis", genesis, "--json").stdout)["tx_id"] == year["proof"]["tx_id"]
    changed = json.loads(proof.read_text())
    changed["receipt"] = changed["receipt"][:-4] + ("AAAA" if changed["receipt"][-4:] != "AAAA" else "BBBB")
    bad = tmp_path / "bad.json"
    bad.write_text(json.dumps(changed))
    assert carbonnode("verify", str(bad), "--genesis", genesis, "--json", check=False).returncode == 1


def test_a_second_script_recomputes_every_figure(year: dict[str, Any], network: Path, tmp_path: Path) -> None:
    file = tmp_path / "year.json"
    file.write_text(json.dumps(year))
    script = [sys.executable, str(ROOT / "scripts" / "recompute_year.py"), str(file), "--dir", str(network)]
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "all figures are equal" in done.stdout
    # And it can tell: one fen, one tonne, one status.
    year["accounts"][3]["cash_available_fen"] += 1
    year["trades"][5]["quantity_t"] += 1
    year["accounts"][4]["status"] = "A"
    file.write_text(json.dumps(year))
    done = subprocess.run(script, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "ST-004 cash" in done.stderr
    assert "ST-005 obligation" in done.stderr


def test_the_year_is_summed_up_again_without_doing_it_twice(year: dict[str, Any], network: Path) -> None:
    again = json.loads(carbonnode("devnet", "demo", "--dir", str(network), "--json").stdout)
    assert again["chain"]["resumed"] is True
    assert again["outcome_digest"] == OUTCOME
    assert [v["code"] for v in again["vouchers"]] == [v["code"] for v in year["vouchers"]]


def test_down_ends_these_processes_and_no_others(tmp_path: Path) -> None:
    directory = tmp_path / "small"
    description = asyncio.run(up(directory, validators=1, users=0, tell=lambda _: None))
    process = processes.read_process(Layout(directory).pid_path("super-1"))
    assert process is not None
    assert down(directory) == {"stopped": ["super-1"], "killed": []}
    assert not processes.alive(process)
    assert down(directory) == {"stopped": [], "killed": []}
    # It comes back with its data.
    assert asyncio.run(up(directory, tell=lambda _: None)) == description
    down(directory)


def test_the_year_ends_the_same_while_validators_are_killed(tmp_path: Path) -> None:
    async def session() -> tuple[dict[str, Any], Chaos]:
        description = await up(tmp_path / "net", tell=lambda _: None)
        layout = Layout(tmp_path / "net")
        chaos = Chaos(layout, 7, lambda _: None, points=POINTS[::3], habits=Habits(pause_s=(0.5, 3.0), pairs=0.2))
        async with during(chaos):
            await run_demo(tmp_path / "net", Silent())
        await wait_for_blocks(layout, description)
        return await run_demo(tmp_path / "net", Silent()), chaos

    try:
        data, chaos = asyncio.run(session())
    finally:
        down(tmp_path / "net")
    assert chaos.kills >= 10
    assert data["outcome_digest"] == OUTCOME
    assert data["chain"]["one_root"] is True
    assert data["conserved"] is True
