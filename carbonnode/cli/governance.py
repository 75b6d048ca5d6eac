"""`carbonnode govern`: proposals of every kind, votes, and the voting set; beside the plain verbs of the contract `rules`."""

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from carbonnode.cli.groups import SuggestingGroup
from carbonnode.cli.output import Output, note, show
from carbonnode.cli.session import gas_options, json_option, node_option, open_wallet, read_file, signer_options, with_client
from carbonnode.cli.verbs import PROPOSAL_FIELDS, add_verbs
from carbonnode.errors import ConfigError

if TYPE_CHECKING:
    from rich.console import Console

    from carbonnode.chain.values import Value
    from carbonnode.client import Client

LISTED = 50
CALL_GAS = 20_000_000
"""Of a call whose need no node estimates: parts of a source are long."""


@click.group(cls=SuggestingGroup)
def govern() -> None:
    """Rule sets, proposals, votes, validators, the market clock.

    \b
    Example:
      carbonnode govern list
      carbonnode govern vote --proposal-id 3 --accept true --from authority --wait
    """


add_verbs(govern, "govern")


async def proposal_of(client: "Client", number: int) -> dict[str, Any]:
    """A proposal with what it changes, its votes and the ledger's verdict. Raises `ConfigError` if there is none."""
    answer = await client.query("rules", "proposal", number)
    if answer.outcome != "OK":
        raise ConfigError(f"there is no proposal {number}: see `carbonnode govern list`")
    document: dict[str, Any] = {"proposal": number, **dict(zip(PROPOSAL_FIELDS, answer.value, strict=True))}
    document["verdict"] = (await client.query("rules", "proposal_verdict", number)).value
    return document


@govern.command("list")
@click.option("--state", help="Only proposals in this state: open, adopted, effective, rejected, refused, failed.")
@click.option("--last", default=LISTED, show_default=True, type=click.IntRange(min=1), metavar="N", help="At most the newest N.")
@node_option
@json_option
def list_(state: str | None, last: int, node: str | None, output: Output) -> int:
    """Proposals, the newest first.

    \b
    Example:
      carbonnode govern list --state open
    """

    async def work(client: "Client") -> list[dict[str, Any]]:
        newest = int((await client.query("rules", "latest_proposal")).value)
        found = [await proposal_of(client, number) for number in range(newest, max(0, newest - last), -1)]
        return [row for row in found if state in (None, row["state"])]

    columns = ("proposal", "kind", "subject", "note", "proposer", "yes", "no", "state", "effective_height", "verdict")
    found = with_client(node, work)

    def render(console: "Console") -> None:
        for row in found:
            row["state"] += f": {row['verdict']}" if row["verdict"] else ""
            row["from"] = row["effective_height"] or "-"
        show(console, [{name: row[name] for name in ("proposal", "kind", "subject", "yes", "no", "state", "from")} for row in found] or "no proposals")

    output.result([{name: row[name] for name in columns} for row in found], render)
    return 0


@govern.command("show")
@click.argument("number", type=click.IntRange(min=1))
@node_option
@json_option
def show_(number: int, node: str | None, output: Output) -> int:
    """A proposal: what it changes, who proposed it and why, who voted how, what the ledger says of it.

    Of a rule's number it shows the proposed `value` and the one that is `in_force`.

    \b
    Example:
      carbonnode govern show 3
    """

    async def work(client: "Client") -> dict[str, Any]:
        document = await proposal_of(client, number)
        document["details"] = (await client.query("rules", "proposal_details", number)).value
        votes = (await client.query("rules", "proposal_votes", number)).value
        document["votes"] = [{"entity": entity, "accept": accept} for entity, accept in votes]
        if document["kind"] == "number":
            answer = await client.query("rules", "number", document["subject"], document["key"])
            # What is in force now: beside "value" it is the change, until that takes effect.
            document["in_force"] = answer.value if answer.outcome == "OK" else None
        return document

    document = with_client(node, work)

    def render(console: "Console") -> None:
        show(console, {name: value for name, value in document.items() if name not in ("votes", "details")})
        for title in ("details", "votes"):
            if document[title]:
                console.print(f"\n{title}")
                for row in document[title]:
                    show(console, row)

    output.result(document, render)
    return 0


@govern.group("validators", cls=SuggestingGroup)
def validators() -> None:
    """Who votes; proposals that change it. What is adopted takes effect at an epoch, a window of blocks later at least.

    \b
    Example:
      carbonnode govern validators list
      carbonnode govern validators remove super-2 --reason "left the alliance" --from authority
    """


@validators.command("list")
@node_option
@json_option
def members(node: str | None, output: Output) -> int:
    """The voting set in force, and the one that follows once its height is settled.

    \b
    Example:
      carbonnode govern validators list --json
    """
    import msgspec

    async def work(client: "Client") -> Any:
        return msgspec.to_builtins(await client.validators())

    document = with_client(node, work)

    def render(console: "Console") -> None:
        console.print(f"epoch {document['epoch']}, since height {document['first_height']}")
        show(console, [_short(member) for member in document["validators"]])
        if document["next_first_height"] is not None:
            console.print(f"from height {document['next_first_height']} on")
            show(console, [_short(member) for member in document["next_validators"]])

    output.result(document, render)
    return 0


def _short(member: dict[str, str]) -> dict[str, str]:
    """A validator as a line that fits a terminal: whole keys stand in the JSON."""
    return {name: f"{value[:16]}..." if name.endswith("_key") else value for name, value in member.items()}


class Proposer(NamedTuple):
    """Who proposes, why, and where: the options of every proposal."""

    reason: str
    wallet: str
    wallets: Path | None
    node: str | None
    output: Output
    gas: int | None
    force: bool

    def propose(self, *calls: "tuple[str, tuple[Value, ...]]") -> int:
        """Send calls of `rules`, one after another; the last one makes the proposal, whose number and vote command are told."""
        from carbonnode.cli import tx

        signer = open_wallet(self.wallet, self.wallets)

        async def work(client: "Client") -> "tx.Sent":
            sent = None
            for method, args in calls:
                sent = await tx.send(client, "rules", method, args, gas=self.gas, force=self.force, default_gas=CALL_GAS)
                if not sent.info.ok:
                    break
            assert sent is not None, "a proposal needs a call"
            return sent

        sent = with_client(self.node, work, signer)
        info = sent.info
        if not info.ok:
            return tx.report(self.output, sent)
        number = int(info.values[0])
        vote = f"carbonnode govern vote --proposal-id {number} --accept true --from MEMBER --wait"
        self.output.result({"proposal": number, "tx_id": info.tx_id, "height": info.height, "vote": vote})
        note(f"proposal {number} is open: every member votes with\n  {vote}\nand `carbonnode govern show {number}` tells how it stands")
        return 0

    def propose_validators(self, changes: "tuple[Value, ...]") -> int:
        """Propose a change of the voting set."""
        return self.propose(("propose_validators", (changes, self.reason)))


def proposing(function: Any) -> Any:
    """Options of every proposal: `--reason`, who signs, which node. The command gets `by`."""

    @functools.wraps(function)
    def wrapped(
        *args: Any, reason: str, wallet: str, wallets: Path | None, node: str | None, output: Output, gas: int | None, force: bool, **kwargs: Any
    ) -> Any:
        return function(*args, by=Proposer(reason, wallet, wallets, node, output, gas, force), **kwargs)

    options = (
        json_option,
        node_option,
        gas_options,
        signer_options(required=True),
        click.option("--reason", required=True, metavar="TEXT", help="Why; it stands in the proposal."),
    )
    for option in options:
        wrapped = option(wrapped)
    return wrapped


def parse_key(text: str, option: str) -> bytes:
    """32 bytes in hex. Raises `ConfigError`."""
    try:
        key = bytes.fromhex(text)
    except ValueError:
        key = b""
    if len(key) != 32:
        raise ConfigError(f"{option} {text!r} isn't a key: it has 64 hex digits, as `carbonnode init` and `carbonnode rotate-keys` print it")
    return key


def transport_key_of(certificate: Path | None, given: str | None, name: str) -> bytes:
    """The transport key, from a certificate that is checked to be the node's, or as given. Raises `ConfigError`."""
    if certificate is None:
        if given is None:
            raise ConfigError("give --certificate FILE, or --transport-key KEY")
        return parse_key(given, "--transport-key")
    from carbonnode.identity.certificate import parse_chain, read_identity

    identity = read_identity(parse_chain(read_file(certificate, "certificate"))[0])
    if identity.name != name:
        raise ConfigError(f"{certificate} is the certificate of {identity.name}, not of {name}")
    if given is not None and parse_key(given, "--transport-key") != identity.transport_key:
        raise ConfigError(f"--transport-key isn't the key of {certificate}: leave it out")
    return identity.transport_key


class NodeKeys(NamedTuple):
    """The keys that a proposal gives a validator."""

    consensus: str
    transport: str | None
    certificate: Path | None

    def of(self, name: str) -> tuple[bytes, bytes]:
        """Consensus and transport key of node `name`. Raises `ConfigError`."""
        return parse_key(self.consensus, "--consensus-key"), transport_key_of(self.certificate, self.transport, name)


def key_options(function: Any) -> Any:
    """`--consensus-key`, `--transport-key`, `--certificate`. The command gets `keys`."""

    @functools.wraps(function)
    def wrapped(*args: Any, consensus_key: str, transport_key: str | None, certificate: Path | None, **kwargs: Any) -> Any:
        return function(*args, keys=NodeKeys(consensus_key, transport_key, certificate), **kwargs)

    options = (
        click.option("--consensus-key", required=True, metavar="KEY", help="The node's consensus key, hex."),
        click.option("--transport-key", metavar="KEY", help="Its transport key, hex; with --certificate it is read from there."),
        click.option("--certificate", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="The certificate of the transport key, PEM."),
    )
    for option in reversed(options):
        wrapped = option(wrapped)
    return wrapped


@validators.command("add")
@click.argument("name")
@click.option("--role", required=True, type=click.Choice(["super", "coordination"]))
@key_options
@proposing
def add(name: str, role: str, keys: NodeKeys, by: Proposer) -> int:
    """Propose that node NAME joins the voting set. It should follow the chain already.

    \b
    Example:
      carbonnode govern validators add bank-1 --role super --consensus-key 3f0a... --certificate bank-1.pem \\
          --reason "new registry operator" --from authority
    """
    return by.propose_validators((("add", name, role, *keys.of(name)),))


@validators.command("remove")
@click.argument("names", nargs=-1, required=True)
@proposing
def remove(names: tuple[str, ...], by: Proposer) -> int:
    """Propose that validators leave; their nodes go on as followers.

    \b
    Example:
      carbonnode govern validators remove super-2 --reason "left the alliance" --from authority
    """
    return by.propose_validators(tuple(("remove", name) for name in names))


@validators.command("rotate")
@click.argument("name")
@key_options
@proposing
def rotate(name: str, keys: NodeKeys, by: Proposer) -> int:
    """Propose new keys for validator NAME: made by `carbonnode rotate-keys` on its node, which takes them when their epoch begins.

    \b
    Example:
      carbonnode govern validators rotate super-2 --consensus-key 77ab... --certificate super-2-new.pem \\
          --reason "yearly rotation" --from authority
    """
    return by.propose_validators((("rotate", name, *keys.of(name)),))


@validators.command("replace")
@click.argument("file", type=click.Path(dir_okay=False, path_type=Path))
@proposing
def replace(file: Path, by: Proposer) -> int:
    """Propose the voting set in FILE in place of the whole present one: a JSON list as `govern validators list` has it. Nothing bounds what changes.

    \b
    Example:
      carbonnode govern validators replace next.json --reason "the alliance hands over" --from authority
    """
    import msgspec

    from carbonnode.client.types import ValidatorInfo

    try:
        wanted = msgspec.json.decode(read_file(file, "voting set"), type=list[ValidatorInfo])
    except msgspec.DecodeError as error:
        raise ConfigError(f"{file}: {error}: write a list of name, role, consensus_key and transport_key") from None
    changes = tuple(("set", v.name, v.role, parse_key(v.consensus_key, v.name), parse_key(v.transport_key, v.name)) for v in wanted)
    return by.propose_validators(changes)
