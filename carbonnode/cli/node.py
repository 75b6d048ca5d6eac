"""`carbonnode init` and `carbonnode start`: a node's directory, and the daemon."""

from pathlib import Path

import click

from carbonnode.cli.output import Output, note
from carbonnode.cli.session import json_option, passphrase, read_file
from carbonnode.errors import ConfigError


def parse_peer(text: str) -> tuple[str, str, int, str]:
    """`NAME=HOST:PORT=KEY` -> (name, host, port, key). Raises `ConfigError`."""
    name, _, rest = text.partition("=")
    address, _, key = rest.rpartition("=")
    host, _, port = address.rpartition(":")
    if not (name and host and port.isascii() and port.isdigit() and key):
        raise ConfigError(f"--peer {text!r}: write NAME=HOST:PORT=TRANSPORT_KEY, such as super-2=10.0.0.2:27000=3f...")
    return name, host, int(port), key


def certificate_of(name: str, transport_key: bytes, path: Path) -> bytes:
    """The certificate file of node `name`. Raises `ConfigError` or `CertificateRefused` if it is another's, or no certificate."""
    from carbonnode.identity.certificate import parse_chain, read_identity

    credential = read_file(path, "certificate")
    identity = read_identity(parse_chain(credential)[0])
    if identity.name != name:
        raise ConfigError(f"{path} is the certificate of {identity.name}, not of {name}")
    if identity.transport_key != transport_key:
        raise ConfigError(f"{path} is for transport key {identity.transport_key.hex()}, this node's is {transport_key.hex()}: have it issued for that one")
    return credential


@click.command()
@click.option("--dir", "directory", required=True, type=click.Path(file_okay=False, path_type=Path), help="The node's directory.")
@click.option("--role", required=True, type=click.Choice(["super", "coordination", "user"]))
@click.option("--name", required=True, help="The node's name: the common name of its certificate.")
@click.option("--genesis", type=click.Path(dir_okay=False, path_type=Path), help="The network's genesis file.")
@click.option("--certificate", type=click.Path(dir_okay=False, path_type=Path), help="The node's certificate chain, PEM.")
@click.option("--peer", "peers", multiple=True, metavar="NAME=HOST:PORT=KEY", help="A node to dial; repeat it. KEY is its transport key in hex.")
@click.option("--port", default=27_000, show_default=True, help="Where to listen for peers.")
@click.option("--api-port", default=27_001, show_default=True, help="Where HTTP listens, on loopback.")
@click.option("--domain", "domains", multiple=True, default=("carbonnode.example",), show_default=True, help="Domain of node certificates.")
@json_option
def init(
    directory: Path,
    role: str,
    name: str,
    genesis: Path | None,
    certificate: Path | None,
    peers: tuple[str, ...],
    port: int,
    api_port: int,
    domains: tuple[str, ...],
    output: Output,
) -> None:
    """Make a node's directory: keys first, and with --genesis and --certificate the rest.

    Without a certificate it makes the two keys and prints their public halves: send them to the network's organiser, who puts them into genesis
    and has a certificate issued; then run the same command again with both files. Keys that exist are kept, never overwritten.

    \b
    Example:
      carbonnode init --dir n1 --role coordination --name regulator-1
      carbonnode init --dir n1 --role coordination --name regulator-1 --genesis genesis.json --certificate regulator-1.pem \\
          --peer exchange-1=10.0.0.2:27000=3f0a...
    """
    from carbonnode.identity import KeyStore, create_node_keys

    dialled = [parse_peer(peer) for peer in peers]
    store = KeyStore(directory / "keys")
    keys = {info.name: info.public_key for info in store.list_keys()}
    if not {"consensus", "transport"} <= set(keys):
        made = create_node_keys(directory / "keys", passphrase(directory, f"the keys of {name}", confirm=True))
        keys = {info.name: info.public_key for info in made}
    document = {"name": name, "role": role, "dir": str(directory), **{f"{k}_key": v.hex() for k, v in sorted(keys.items())}, "ready": False}
    if genesis is None or certificate is None:
        note("keys are ready: have them entered in genesis and a certificate issued, then run this again with --genesis and --certificate")
        output.result(document)
        return
    from carbonnode.app import create_node

    create_node(
        directory,
        name=name,
        role=role,
        genesis=read_file(genesis, "genesis file"),
        certificate_pem=certificate_of(name, keys["transport"], certificate),
        peers=dialled,
        peer_port=port,
        api_port=api_port,
        domains=domains,
    )
    output.result(document | {"ready": True})


@click.command("rotate-keys")
@click.option("--dir", "directory", required=True, type=click.Path(file_okay=False, path_type=Path), help="The validator's directory.")
@click.option("--certificate", type=click.Path(dir_okay=False, path_type=Path), help="The certificate of the new transport key, PEM.")
@click.option("--now", is_flag=True, help="Take the next keys at once: only for a stopped node that was down when their epoch began.")
@json_option
def rotate_keys(directory: Path, certificate: Path | None, now: bool, output: Output) -> None:
    """Make a validator's next keys in DIR/next, and lay their certificate down beside them.

    First without --certificate: it prints the public keys. Have a certificate issued for the transport key, run it again with that, and have the members
    vote (`carbonnode govern validators rotate`). When the epoch begins that names them, the running node starts itself again with the new keys.

    \b
    Example:
      carbonnode rotate-keys --dir n1
      carbonnode rotate-keys --dir n1 --certificate super-1-new.pem
    """
    import msgspec

    from carbonnode.app import next_keys

    made = next_keys(directory, lambda name: passphrase(directory / "keys", f"the next keys of {name}"), certificate, now=now)
    if not made.ready:
        note("keys are made: have a certificate issued for the transport key, then run this again with --certificate")
    output.result(msgspec.to_builtins(made))


@click.command()
@click.option("--dir", "directory", required=True, type=click.Path(file_okay=False, path_type=Path), help="The node's directory.")
def start(directory: Path) -> int:
    """Run a node in the foreground until SIGTERM or Ctrl-C; its log is in logs/node.log.

    \b
    Example:
      carbonnode start --dir n1
    """
    from carbonnode.app import run_node

    return run_node(directory)


@click.command("verify-store")
@click.option("--dir", "directory", required=True, type=click.Path(file_okay=False, path_type=Path), help="The stopped node's directory.")
@click.option("--repair", is_flag=True, help="Mend what can be mended; nothing is invented, and a damaged vote journal makes the node abstain for a while.")
@json_option
def verify_store(directory: Path, repair: bool, output: Output) -> int:
    """Check every block, the whole state and the vote journal of a stopped node. Exit status 1 if anything is off.

    \b
    Example:
      carbonnode verify-store --dir n1 --json
    """
    import msgspec

    from carbonnode.app import verify_node_store

    report = verify_node_store(directory, repair=repair)
    output.result(msgspec.to_builtins(report))
    return 0 if report.ok or report.repairs else 1
