"""A network of real node processes on loopback with a toy contract, for tests that kill, restart and compare them.

Everything lies in one directory. Processes are ended by their own ids; ports are free ones; waits are for conditions, with a deadline and a
message that says what was waited for. `down` ends a network and holds what its nodes left on disk against `checkers`.
"""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Self

import httpx

from carbonnode.chain.codec import encode
from carbonnode.chain.genesis import ContractSource, Genesis, Parameters
from carbonnode.chain.signing import KeySigner
from carbonnode.chain.transaction import Body, Call, Transaction
from carbonnode.chain.validators import Validator
from carbonnode.identity import CertificateAuthority, NodeRequest, Strength, create_authority, create_node_keys
from carbonnode.node.config import ApiSection, KeysSection, NetworkSection, NodeConfig, NodeSection, PeerSection, StorageSection
from carbonnode.node.directory import NodeDirectory
from tests.functional import checkers
from tests.functional.proxy import FaultyLinks

HOST = "127.0.0.1"
DOMAIN = "test.carbonnode.example"
PASSPHRASE = "functional test"  # noqa: S105 - keys of a throw-away network
DAY_MS = 86_400_000
START = "import sys; from pathlib import Path; from carbonnode.app import run_node; sys.exit(run_node(Path(sys.argv[1])))"
VALIDATORS = (("super-1", "super", "EXCHANGE-1"), ("super-2", "super", "REGISTRY-1"), ("coordination-1", "coordination", "AUTHORITY-1"),
              ("coordination-2", "coordination", "VERIFIER-1"), ("super-3", "super", "EXCHANGE-2"), ("coordination-3", "coordination", "AUTHORITY-2"),
              ("coordination-4", "coordination", "VERIFIER-2"))
"""A network has the first so many of these."""

TOY = '''"""Accounts of a toy currency: what is made once moves about and never changes in sum."""

balances = Map(bytes, int)
total = Var(int)


@init
def start(first: bytes, amount: int) -> None:
    total.set(amount)
    balances[first] = amount


@export
def transfer(to: bytes, amount: int) -> int:
    require(amount > 0, "toy.amount")
    have = balances.get(ctx.sender, 0)
    require(have >= amount, "toy.balance")
    balances[ctx.sender] = have - amount
    balances[to] = balances.get(to, 0) + amount
    emit("Moved", amount=amount)
    org = call("identity", "org_of", to)
    if org != "":
        emit("Received", to=org, amount=amount)
    return balances[to]


@view
def balance(key: bytes) -> int:
    return balances.get(key, 0)


@view
def supply() -> int:
    return total.get()
'''
IDENTITY = '''"""Which organisation a key acts for: the part of the real contract that nodes ask."""

orgs = Map(bytes, str)


@export
def register(org: str) -> None:
    orgs[ctx.sender] = org


@view
def org_of(key: bytes) -> str:
    return orgs.get(key, "")


@view
def whoami() -> tuple:
    org = orgs.get(ctx.sender, "")
    return (org, org, 7, 0)
'''
SUPPLY = 1_000_000_000
HTTP = httpx.Client(trust_env=False, limits=httpx.Limits(max_keepalive_connections=0))
"""One for all calls of a test run: making one costs 20 ms. Connections aren't kept, as the nodes behind them are killed."""


def signer(name: str) -> KeySigner:
    """A key that depends on the name only."""
    return KeySigner(name.encode().ljust(32, b"\0")[:32])


BANK = signer("bank")


def free_ports(count: int) -> list[int]:
    """Ports that nobody listens on now."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for item in sockets:
            item.bind((HOST, 0))
        return [int(item.getsockname()[1]) for item in sockets]
    finally:
        for item in sockets:
            item.close()


def wait_for(what: str, condition: Callable[[], Any], timeout_s: float = 30.0, every_s: float = 0.05) -> Any:
    """Poll until the condition is truthy; its value. Fails with `what` after the deadline."""
    deadline = time.monotonic() + timeout_s
    while True:
        found = condition()
        if found:
            return found
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {timeout_s} s in vain for {what}")
        time.sleep(every_s)


def sync_ms(directory: Path) -> float:
    """How long the disk takes to sync one small file: whether a network stood still or its disk did."""
    path = directory / "probe"
    began = time.monotonic()
    with path.open("wb") as file:
        file.write(b"probe")
        file.flush()
        os.fsync(file.fileno())
    took_ms = (time.monotonic() - began) * 1000
    path.unlink()
    return took_ms


@dataclass
class NodeHandle:
    """One node: its directory, its ports, its process while it runs."""

    name: str
    role: str
    organisation: str
    directory: NodeDirectory
    peer_port: int
    api_port: int
    process: "subprocess.Popen[bytes] | None" = None
    environment: dict[str, str] = field(default_factory=dict)
    wrapper: tuple[str, ...] = ()
    """A command that becomes the node's process, e.g. `ip netns exec`."""

    @property
    def url(self) -> str:
        """Of its HTTP API."""
        return f"http://{HOST}:{self.api_port}"

    def start(self, extra: Mapping[str, str] | None = None) -> None:
        """Start the process; `extra` variables for this run only."""
        assert self.process is None, f"{self.name} runs already"
        output = (self.directory.path / "logs" / "process.log").open("ab")
        with output:
            self.process = subprocess.Popen(
                [*self.wrapper, sys.executable, "-c", START, str(self.directory.path)],
                env={**os.environ, **self.environment, **(extra or {})}, stdin=subprocess.DEVNULL, stdout=output, stderr=output,
            )

    def kill(self, number: int = signal.SIGKILL) -> int:
        """Send a signal and wait for the end; the exit status."""
        assert self.process is not None, f"{self.name} doesn't run"
        self.process.send_signal(number)
        return self.ended()

    def pause(self) -> None:
        """SIGSTOP: it lives, holds its links, and does nothing until `resume`."""
        assert self.process is not None, f"{self.name} doesn't run"
        self.process.send_signal(signal.SIGSTOP)

    def resume(self) -> None:
        """SIGCONT."""
        assert self.process is not None, f"{self.name} doesn't run"
        self.process.send_signal(signal.SIGCONT)

    def ended(self, timeout_s: float = 30.0) -> int:
        """Wait for the process to end by itself."""
        assert self.process is not None, f"{self.name} doesn't run"
        status = self.process.wait(timeout_s)
        self.process = None
        return status

    def status(self) -> dict[str, Any] | None:
        """`/v1/status`, None while it doesn't answer."""
        try:
            answer = HTTP.get(f"{self.url}/v1/status", timeout=2.0)
        except httpx.TransportError:
            return None
        document: dict[str, Any] | None = answer.json() if answer.status_code == 200 else None
        return document

    def answers(self) -> bool:
        """Whether its API answers; fails if the process has ended."""
        assert self.process is None or self.process.poll() is None, f"{self.name} ended with status {self.process.poll()}\n{self.tail()}"
        return self.status() is not None

    def reached(self, height: int) -> bool:
        """Whether it certified a height."""
        return self.height >= height

    @property
    def height(self) -> int:
        """Certified height, -1 while it doesn't answer."""
        status = self.status()
        return -1 if status is None else int(status["height"])

    def tail(self, lines: int = 15) -> str:
        """Where it stands and the end of its logs, for failure messages: without what is said every second."""
        paths = (self.directory.log_path, self.directory.path / "logs" / "process.log")
        parts = []
        for path in paths:
            text = path.read_text(errors="replace").splitlines() if path.exists() else []
            parts.append("\n".join([line for line in text if '"level":"debug"' not in line][-lines:]))
        status = self.status() if self.process is not None else None
        told = {key: status[key] for key in ("height", "view", "primary", "peers", "syncing", "mempool", "warnings")} if status is not None else "no answer"
        return f"--- {self.name} ({'runs' if self.process is not None and self.process.poll() is None else 'is down'}): {told}\n" + "\n".join(parts)


class ToyNetwork:
    """Validators (and user nodes) with the toy contract. Through `links`, if given, validators dial each other."""

    def __init__(
        self,
        directory: Path,
        *,
        parameters: Parameters | None = None,
        users: Sequence[tuple[str, str]] = (),
        validators: int = 4,
        links: FaultyLinks | None = None,
        followers: Sequence[str] = (),
        contracts: Sequence[ContractSource] = (),
        storage: StorageSection | None = None,
    ) -> None:
        """`followers` are coordination nodes that genesis doesn't name: they hold the ledger and vote in nothing."""
        self.directory = directory
        self.links = links
        self.suspects: set[str] = set()
        """Nodes that a test makes misbehave: others may blame and ban them, and nothing they did is checked."""
        self.ruined: set[str] = set()
        """Nodes whose stores a test destroyed."""
        self.holders: set[bytes] = {BANK.public_key}
        """Keys that a transfer of this network named: no other key holds anything."""
        self.nodes: dict[str, NodeHandle] = {}
        self._passphrase = directory / "passphrase"
        self._nonce = 0
        self._storage = storage or StorageSection()
        directory.mkdir(parents=True, exist_ok=True)
        self._passphrase.write_text(PASSPHRASE + "\n")
        voters = VALIDATORS[:validators]
        members = [*voters, *((name, "coordination", "FOLLOWER") for name in followers), *((name, "user", organisation) for name, organisation in users)]
        now_ms = time.time_ns() // 1_000_000
        authority = create_authority("test CA", now_ms - DAY_MS, now_ms + 30 * DAY_MS)
        self.authority = authority
        keys = {name: create_node_keys(directory / name / "keys", PASSPHRASE, strength=Strength.THROW_AWAY) for name, _, _ in members}
        self.keys = keys
        electorate = tuple(Validator(name, role, keys[name][0].public_key, keys[name][1].public_key) for name, role, _ in voters)
        self.genesis = Genesis(
            network="toy", time_ms=now_ms, validators=electorate, ca_roots=(authority.certificate_pem.decode(),),
            contracts=(*self.base_contracts(), *contracts), calls=self.genesis_calls(),
            parameters=parameters, test_clock=True,
        )
        ports = free_ports(2 * len(members))
        for index, (name, role, organisation) in enumerate(members):
            node = NodeDirectory(directory / name)
            self.nodes[name] = NodeHandle(name, role, organisation, node, ports[2 * index], ports[2 * index + 1])
        for name, role, organisation in members:
            self._create(authority, name, role, organisation, keys[name][1].public_key)

    def _create(self, authority: CertificateAuthority, name: str, role: str, organisation: str, transport_key: bytes) -> None:
        now_ms = time.time_ns() // 1_000_000
        certificate = authority.issue(
            NodeRequest(
                name=name, organisation=organisation, role=role, domain=f"{name}.{DOMAIN}", transport_key=transport_key,
                chain_id=self.genesis.chain_id, not_before_ms=now_ms - DAY_MS, not_after_ms=now_ms + 20 * DAY_MS,
            )
        )
        handle = self.nodes[name]
        peers = tuple(
            PeerSection(name=v.name, host=self.host_of(v.name), port=self._dialled(name, v.name), transport_key=v.transport_key.hex())
            for v in self.dialled_by(name) if v.name != name
        )
        config = NodeConfig(
            node=NodeSection(name=name, role=role, log_level="debug", record=bool(os.environ.get("CARBONNODE_TEST_RECORD"))),
            network=NetworkSection(host=self.host_of(name), port=handle.peer_port, peers=peers, domains=(DOMAIN,)),
            api=ApiSection(host=HOST, port=handle.api_port),
            keys=KeysSection(passphrase_file=str(self._passphrase)),
            storage=self._storage,
        )
        handle.directory.create(config, self.genesis.to_json(), certificate)

    def host_of(self, name: str) -> str:
        """Where a node listens for peers."""
        return HOST

    def base_contracts(self) -> tuple[ContractSource, ...]:
        """What every network of this kind has installed."""
        return ContractSource("identity", IDENTITY), ContractSource("toy", TOY)

    def genesis_calls(self) -> tuple[Call, ...]:
        """The calls of block 0."""
        return (Call("toy", "start", (BANK.public_key, SUPPLY)),)

    def dialled_by(self, name: str) -> Sequence[Validator]:
        """Whom a node dials, itself perhaps among them."""
        return self.genesis.validators.validators

    def _dialled(self, source: str, target: str) -> int:
        """The port at which one node dials another."""
        port = self.nodes[target].peer_port
        return port if self.links is None else self.links.route(source, target, port)

    # -- processes ----------------------------------------------------------------------------------------------------------------------

    @property
    def validators(self) -> list[NodeHandle]:
        """The voting nodes."""
        return [self.nodes[validator.name] for validator in self.genesis.validators.validators]

    @property
    def running(self) -> list[NodeHandle]:
        """Nodes with a process."""
        return [node for node in self.nodes.values() if node.process is not None]

    def up(self, names: Sequence[str] | None = None) -> None:
        """Start nodes and wait until they answer."""
        for name in names or list(self.nodes):
            self.nodes[name].start()
        for name in names or list(self.nodes):
            self.wait(f"{name} to answer", self.nodes[name].answers)

    def down(self) -> None:
        """End every process that runs; a node that doesn't stop by itself within 20 s is killed. Then check what all of them left."""
        running = self.running
        for node in running:
            if node.process is not None and node.process.poll() is None:
                node.process.terminate()
                node.resume()
        for node in running:
            try:
                node.ended(20.0)
            except subprocess.TimeoutExpired:
                node.kill()
        checkers.check_stopped(self)

    @contextmanager
    def running_at(self, height: int = 1) -> Iterator[Self]:
        """All nodes up, and at this height; they are stopped at the end, whatever happens."""
        try:
            self.up()
            self.wait_height(height)
            yield self
        finally:
            self.down()

    def wait(self, what: str, condition: Callable[[], Any], timeout_s: float = 60.0) -> Any:
        """`wait_for`, with the logs of all nodes in the message."""
        try:
            return wait_for(what, condition, timeout_s)
        except AssertionError as error:
            tails = "\n".join(node.tail() for node in self.nodes.values())
            raise AssertionError(f"{error}; a sync of this disk takes {sync_ms(self.directory):.0f} ms now\n{tails}") from None

    def wait_height(self, height: int, names: Sequence[str] | None = None, timeout_s: float = 60.0) -> None:
        """Wait until nodes certified a height."""
        for node in [self.nodes[name] for name in names] if names else self.running:
            self.wait(f"{node.name} to reach height {height}", partial(node.reached, height), timeout_s)

    # -- transactions -------------------------------------------------------------------------------------------------------------------

    def transfer(self, sender: KeySigner, to: bytes, amount: int, height: int = 0) -> Transaction:
        """A signed transfer, valid for 500 blocks from `height`."""
        self.holders.add(to)
        return self.sign(sender, Call("toy", "transfer", (to, amount)), height)

    def sign(self, sender: KeySigner, call: Call, height: int = 0) -> Transaction:
        """A signed transaction with one call."""
        self._nonce += 1
        nonce = os.urandom(8) + self._nonce.to_bytes(8, "big")
        body = Body(self.genesis.chain_id, sender.public_key, nonce, height + 500, 200_000, (call,))
        return Transaction.sign(body, sender)

    def post(self, node: NodeHandle, transactions: Sequence[Transaction], timeout_s: float = 30.0) -> httpx.Response:
        """Submit in one call; whatever the node answers."""
        body = encode([tx.raw for tx in transactions])
        return HTTP.post(f"{node.url}/v1/transactions/batch", content=body, headers={"content-type": "application/msgpack"}, timeout=timeout_s)

    def submit(self, node: NodeHandle, transactions: Sequence[Transaction]) -> list[dict[str, Any]]:
        """Submit in one call; the answers."""
        answer = self.post(node, transactions)
        assert answer.status_code == 200, answer.text
        results: list[dict[str, Any]] = answer.json()["results"]
        return results

    def statuses(self, node: NodeHandle, transactions: Sequence[Transaction], wait_ms: int = 0) -> list[dict[str, Any]]:
        """What became of transactions."""
        body = {"tx_ids": [tx.id.hex() for tx in transactions], "wait_ms": wait_ms}
        answer = HTTP.post(f"{node.url}/v1/transactions/status", json=body, timeout=wait_ms / 1000 + 10)
        assert answer.status_code == 200, answer.text
        found: list[dict[str, Any]] = answer.json()["transactions"]
        return found

    def settle(self, node: NodeHandle, transactions: Sequence[Transaction], timeout_s: float = 30.0) -> list[dict[str, Any]]:
        """Wait until all are final at `node`; their statuses."""

        def done() -> list[dict[str, Any]] | None:
            found = self.statuses(node, transactions, wait_ms=2_000)
            return found if all(item["status"] == "final" for item in found) else None

        result: list[dict[str, Any]] = self.wait(f"{len(transactions)} transactions to be final at {node.name}", done, timeout_s)
        return result

    def query(self, node: NodeHandle, view: str, *args: object, height: int | None = None) -> Any:
        """A view of the toy contract, at the last certified height or at this one."""
        shown = [{"hex": arg.hex()} if isinstance(arg, bytes) else arg for arg in args]
        answer = HTTP.post(f"{node.url}/v1/contracts/toy/{view}", json={"args": shown, "height": height}, timeout=10.0)
        assert answer.status_code == 200, answer.text
        return answer.json()["value"]

    def block(self, node: NodeHandle, height: int) -> dict[str, Any]:
        """A block's summary."""
        answer = HTTP.get(f"{node.url}/v1/blocks/{height}", timeout=10.0)
        assert answer.status_code == 200, answer.text
        document: dict[str, Any] = answer.json()
        return document

    def assert_same(self, height: int, nodes: Sequence[NodeHandle] | None = None) -> None:
        """All nodes hold the same block at a height."""
        hashes = {node.name: self.block(node, height)["header_hash"] for node in nodes or self.running}
        assert len(set(hashes.values())) == 1, hashes
