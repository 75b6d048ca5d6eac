"""What a devnet is made of: keys, a throw-away CA, a genesis with the shipped contracts, a certificate and a directory for each node."""

import secrets
import sys
import time
from collections.abc import Mapping
from datetime import datetime
from pathlib import Path

from carbonnode.chain.genesis import Genesis, Parameters
from carbonnode.chain.validators import Validator
from carbonnode.devnet.layout import FORMAT, Description, Layout, NodeEntry, write_private
from carbonnode.devnet.ports import PORT_STEP
from carbonnode.devnet.year_calendar import START, market_ms
from carbonnode.devnet.year_steps import AUTHORITY, EXCHANGE, REGISTRY, RULE_SET, VERIFIER
from carbonnode.errors import ConfigError
from carbonnode.identity import CertificateAuthority, KeyStore, NodeRequest, Strength, create_authority, create_node_keys
from carbonnode.local import ruleset

DOMAIN = "carbonnode.example"
_VALID_DAYS = 365
ORGANISATIONS = {"super-1": "EXCHANGE-1", "super-2": "REGISTRY-1", "coordination-1": "AUTHORITY-1", "coordination-2": "VERIFIER-1"}
"""Entity ids of the members; the O of their nodes' certificates."""
USER_ORGANISATIONS = ("ORIGIN-ENERGY", "AGL-ENERGY", "STANWELL-CORPORATION", "ENERGYAUSTRALIA-HOLDINGS", "C-S-ENERGY", "TRANSALTA-ENERGY")
MEMBERS = {
    EXCHANGE: ("Exchange (demo)", ruleset.EXCHANGE),
    REGISTRY: ("Registry and cash operator (demo)", ruleset.REGISTRY | ruleset.CASH),
    AUTHORITY: ("Authority (demo)", ruleset.AUTHORITY),
    VERIFIER: ("Verifier (demo)", ruleset.VERIFIER),
}


def node_names(validators: int, users: int) -> list[tuple[str, str, str]]:
    """(name, role, organisation) of each node, validators first, super and coordination by turns of two. Raises `ConfigError`."""
    if not 1 <= validators <= 31:
        raise ConfigError(f"--validators {validators}: a devnet has 1 to 31 validators (4 tolerate one fault)")
    if not 0 <= users <= len(USER_ORGANISATIONS):
        raise ConfigError(f"--users {users}: a devnet has 0 to {len(USER_ORGANISATIONS)} user nodes")
    supers = (validators + 1) // 2
    names = [(f"super-{i + 1}", "super") for i in range(supers)] + [(f"coordination-{i + 1}", "coordination") for i in range(validators - supers)]
    nodes = [(name, role, ORGANISATIONS.get(name, name.upper())) for name, role in names]
    return nodes + [(f"user-{i + 1}", "user", USER_ORGANISATIONS[i]) for i in range(users)]


def make_keys(layout: Layout, description: Description) -> tuple[list[Validator], dict[str, bytes]]:
    """Keys and wallets of everybody, under one throw-away passphrase. Returns validators and transport keys by node."""
    layout.directory.mkdir(parents=True, exist_ok=True)
    write_private(layout.passphrase_path, secrets.token_urlsafe(24) + "\n")
    passphrase = layout.passphrase()
    validators, transport = [], {}
    for node in description.nodes:
        keys = create_node_keys(layout.node(node.name) / "keys", passphrase, strength=Strength.THROW_AWAY)
        transport[node.name] = keys[1].public_key
        if node.role != "user":
            validators.append(Validator(node.name, node.role, keys[0].public_key, keys[1].public_key))
    wallets = KeyStore(layout.wallets)
    for name in (*MEMBERS, *(n.name for n in description.nodes if n.role == "user")):
        wallets.create(name, passphrase, strength=Strength.THROW_AWAY)
    return validators, transport


def make_genesis(
    layout: Layout,
    description: Description,
    validators: list[Validator],
    authority: CertificateAuthority,
    overrides: Mapping[str, str | int],
) -> Genesis:
    """The chain's start: shipped contracts, rule set `demo-nger` with `overrides` of its numbers, the members, a market clock at the beginning of the year."""
    wallets = KeyStore(layout.wallets)
    rules = ruleset.load(RULE_SET).override(overrides)
    parameters = Parameters(python=f"{sys.version_info.major}.{sys.version_info.minor}")
    members = [ruleset.Member(ORGANISATIONS[name], title, roles, wallets.show(name).public_key) for name, (title, roles) in MEMBERS.items()]
    calls = ruleset.genesis_calls([rules], members, test_clock=True, epoch_blocks=parameters.epoch_blocks, market_time_ms=market_ms(START, rules.offset_ms))
    genesis = Genesis(
        network=description.network,
        time_ms=time.time_ns() // 1_000_000,
        test_clock=True,
        validators=tuple(validators),
        ca_roots=(authority.certificate_pem.decode("ascii"),),
        parameters=parameters,
        contracts=ruleset.genesis_contracts(),
        calls=tuple(calls),
        invariants=ruleset.INVARIANTS,
    )
    layout.genesis_path.write_bytes(genesis.to_json())
    return genesis


def certify(layout: Layout, description: Description, genesis: Genesis, authority: CertificateAuthority, transport: dict[str, bytes]) -> dict[str, Path]:
    """A certificate for each node, bound to its transport key and to this chain. Returns their files by node."""
    begin = genesis.time_ms - 3_600_000
    files = {}
    for node in description.nodes:
        request = NodeRequest(
            name=node.name,
            organisation=node.organisation,
            role=node.role,
            domain=f"{node.name}.{DOMAIN}",
            transport_key=transport[node.name],
            chain_id=genesis.chain_id,
            not_before_ms=begin,
            not_after_ms=begin + _VALID_DAYS * 86_400_000,
        )
        files[node.name] = layout.ca / f"{node.name}.pem"
        files[node.name].write_bytes(authority.issue(request))
    return files


def make_authority(layout: Layout) -> CertificateAuthority:
    """The throw-away CA of this devnet, its key beside it under the same passphrase."""
    now = time.time_ns() // 1_000_000
    authority = create_authority("carbonnode devnet CA", now - 3_600_000, now + _VALID_DAYS * 86_400_000)
    authority.save(layout.ca, layout.passphrase())
    return authority


def describe(validators: int, users: int, base_port: int) -> Description:
    """The nodes and their ports: node i listens on base + 10 i for peers and on the next port for HTTP."""
    nodes = [
        NodeEntry(name, role, organisation, base_port + PORT_STEP * i, base_port + PORT_STEP * i + 1)
        for i, (name, role, organisation) in enumerate(node_names(validators, users))
    ]
    made = datetime.now().astimezone()
    return Description(FORMAT, f"devnet-{made:%Y%m%d-%H%M%S}", base_port, tuple(nodes))
