"""`carbonnode cert`: node certificates, for organisers who run a certificate authority of their own, and for anyone who checks one."""

import time
from pathlib import Path
from typing import Any

import click

from carbonnode.cli.groups import SuggestingGroup
from carbonnode.cli.output import Output, note
from carbonnode.cli.session import json_option, passphrase, read_file, write_file
from carbonnode.errors import ConfigError

DAY_MS = 86_400_000
FILE = click.Path(dir_okay=False, path_type=Path)
FOLDER = click.Path(file_okay=False, path_type=Path)


@click.group(cls=SuggestingGroup)
def cert() -> None:
    """Node certificates: make an authority, issue, show, check and revoke. Any X.509 authority will do: docs/operators.md names the fields.

    \b
    Example:
      carbonnode cert show node.pem
    """


def _now_ms() -> int:
    return time.time_ns() // 1_000_000


def _key(text: str) -> bytes:
    try:
        raw = bytes.fromhex(text)
    except ValueError:
        raw = b""
    if len(raw) != 32:
        raise ConfigError("--transport-key isn't 64 hex digits: copy it from what `carbonnode init` printed")
    return raw


@cert.command("authority")
@click.option("--dir", "directory", required=True, type=FOLDER, help="Where ca.pem and ca.key are written.")
@click.option("--name", required=True, help="The authority's common name.")
@click.option("--days", type=click.IntRange(1, 36_500), default=3650, show_default=True, help="How long it is valid.")
@json_option
def authority(directory: Path, name: str, days: int, output: Output) -> None:
    """Make a certificate authority; its key is encrypted by a passphrase. What ca.pem holds goes into genesis (`ca_roots`).

    \b
    Example:
      carbonnode cert authority --dir ca --name "carbon market CA"
    """
    from carbonnode.identity import create_authority

    now = _now_ms()
    made = create_authority(name, now, now + days * DAY_MS)
    made.save(directory, passphrase(directory, f"the key of {name}", confirm=True))
    output.result({"name": name, "certificate": str(directory / "ca.pem"), "key": str(directory / "ca.key"), "not_after_ms": now + days * DAY_MS})


@cert.command("issue")
@click.option("--ca", "directory", required=True, type=FOLDER, help="The authority's folder, with ca.pem and ca.key.")
@click.option("--genesis", required=True, type=FILE, help="The network's genesis file: the certificate is bound to its chain.")
@click.option("--name", required=True, help="The node's name.")
@click.option("--organisation", required=True, help="The organisation that runs it.")
@click.option("--role", required=True, type=click.Choice(["super", "coordination", "user"]))
@click.option("--domain", required=True, help="The node's domain name, below a domain that the nodes' config.toml permits.")
@click.option("--transport-key", required=True, metavar="HEX", help="The node's transport key, as `carbonnode init` prints it.")
@click.option("--days", type=click.IntRange(1, 3650), default=365, show_default=True, help="How long it is valid.")
@click.option("--out", required=True, type=FILE, help="Where the certificate is written, PEM.")
@json_option
def issue(
    directory: Path, genesis: Path, name: str, organisation: str, role: str, domain: str, transport_key: str, days: int, out: Path, output: Output
) -> None:
    """Issue a node's certificate; a file that exists is never overwritten.

    \b
    Example:
      carbonnode cert issue --ca ca --genesis genesis.json --name regulator-1 --organisation AUTHORITY-1 --role coordination \\
          --domain regulator-1.carbonnode.example --transport-key 3f0a... --out regulator-1.pem
    """
    from carbonnode.chain.genesis import parse_genesis
    from carbonnode.identity import CertificateAuthority, NodeRequest
    from carbonnode.identity.certificate import parse_chain, read_identity

    if out.exists():
        raise ConfigError(f"{out} is there already: choose another name")
    chain_id = parse_genesis(read_file(genesis, "genesis file"), genesis).chain_id
    now = _now_ms()
    request = NodeRequest(
        name=name,
        organisation=organisation,
        role=role,
        domain=domain,
        transport_key=_key(transport_key),
        chain_id=chain_id,
        not_before_ms=now,
        not_after_ms=now + days * DAY_MS,
    )
    issued = CertificateAuthority.load(directory, passphrase(directory, f"the authority in {directory}")).issue(request)
    write_file(out, issued, "certificate")
    output.result(_shown(read_identity(parse_chain(issued)[0])))


def _shown(identity: Any) -> dict[str, Any]:
    fields = ("name", "organisation", "role", "domain", "not_before_ms", "not_after_ms")
    hexed = {"serial": f"{identity.serial:x}", "transport_key": identity.transport_key.hex(), "chain_id": identity.chain_id.hex()}
    return {field: getattr(identity, field) for field in fields} | hexed | {"fingerprint": identity.fingerprint.hex()}


@cert.command("show")
@click.argument("file", type=FILE)
@json_option
def show(file: Path, output: Output) -> None:
    """What a node certificate says; nothing is verified.

    \b
    Example:
      carbonnode cert show n1/node.pem
    """
    from carbonnode.identity.certificate import parse_chain, read_identity

    output.result(_shown(read_identity(parse_chain(read_file(file, "certificate"))[0])))


@cert.command("check")
@click.argument("file", type=FILE)
@click.option("--genesis", required=True, type=FILE, help="The network's genesis file: its authorities and its chain.")
@click.option("--domain", "domains", multiple=True, help="A domain in which names must lie, as in config.toml; repeat it. The certificate's own without it.")
@click.option("--crl", type=FILE, help="A revocation list, PEM.")
@json_option
def check(file: Path, genesis: Path, domains: tuple[str, ...], crl: Path | None, output: Output) -> int:
    """Check a node certificate as every node of the network will: authority, validity, revocation, chain, domain. Exit status 1 if one would refuse it.

    \b
    Example:
      carbonnode cert check n1/node.pem --genesis genesis.json --domain carbonnode.example
    """
    from carbonnode.chain.genesis import parse_genesis
    from carbonnode.identity import CertificateRefused, RevocationList, TrustStore
    from carbonnode.identity.certificate import parse_chain, read_identity

    network = parse_genesis(read_file(genesis, "genesis file"), genesis)
    credential = read_file(file, "certificate")
    try:
        identity = read_identity(parse_chain(credential)[0])
        trust = TrustStore(network.ca_roots, network.chain_id, domains or (identity.domain,))
        if crl is not None:
            trust.set_revocations(RevocationList().with_crl(read_file(crl, "revocation list"), trust.roots))
        # A node that votes is compared with its entry in genesis too.
        trust.set_validators(network.validators.validators)
        verified = trust.verify(credential, identity.transport_key, _now_ms())
    except CertificateRefused as refused:
        output.result({"ok": False, "code": str(refused.code), "reason": str(refused)})
        note(f"error [{refused.code}]: {file}: {refused}")
        return 1
    output.result({"ok": True, "expired": verified.expired} | _shown(verified))
    if verified.expired:
        note(f"{file} has expired: it is accepted because its bearer votes; have it renewed")
    return 0


@cert.command("revoke")
@click.argument("files", nargs=-1, required=True, type=FILE)
@click.option("--ca", "directory", required=True, type=FOLDER, help="The authority's folder, with ca.pem and ca.key.")
@click.option("--out", required=True, type=FILE, help="The revocation list, PEM; what stands in it already stays.")
@click.option("--days", type=click.IntRange(1, 3650), default=30, show_default=True, help="When the next list is due.")
@json_option
def revoke(files: tuple[Path, ...], directory: Path, out: Path, days: int, output: Output) -> None:
    """Put the certificates FILES on the authority's revocation list. Each node reads it as revocations.pem in its directory, at its start.

    \b
    Example:
      carbonnode cert revoke --ca ca --out revocations.pem lost-node.pem
    """
    from carbonnode.identity import CertificateAuthority
    from carbonnode.identity.certificate import parse_chain
    from carbonnode.identity.revocation import revoked_serials

    serials = {parse_chain(read_file(file, "certificate"))[0].serial_number for file in files}
    made = CertificateAuthority.load(directory, passphrase(directory, f"the authority in {directory}"))
    if out.exists():
        serials |= revoked_serials(read_file(out, "revocation list"), made.certificate_pem)
    now = _now_ms()
    write_file(out, made.revocation_list(tuple(sorted(serials)), now, now + days * DAY_MS), "revocation list")
    output.result({"file": str(out), "revoked": [f"{serial:x}" for serial in sorted(serials)]})
