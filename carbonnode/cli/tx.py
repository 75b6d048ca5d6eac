"""`carbonnode tx`: signed calls, and looking transactions up."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import click

from carbonnode.cli.groups import SuggestingGroup
from carbonnode.cli.hints import meaning
from carbonnode.cli.output import Output, note
from carbonnode.cli.session import gas_options, json_option, node_option, open_wallet, signer_options, with_client, write_file
from carbonnode.errors import ConfigError

if TYPE_CHECKING:
    from carbonnode.chain.transaction import Call
    from carbonnode.client import Client, GasChoice, TransactionInfo

DEFAULT_TIMEOUT_S = 30.0
UNDER_WAY_S = 5.0
"""How long a call that would be refused is tried again while transactions are under way."""
AGAIN_S = 0.3
RETRY_TIMES = 4
"""A call that ran out of gas is worth so many times the limit."""


@click.group(cls=SuggestingGroup)
def tx() -> None:
    """Call contracts by signed transactions; look transactions up.

    \b
    Example:
      carbonnode tx call cash deposit --arg entity=ST-001 --arg amount_fen=100 --arg ref=r1 --from super-2 --wait
    """


@tx.command("call")
@click.argument("contract")
@click.argument("method")
@click.option("--arg", "pairs", multiple=True, metavar="NAME=VALUE", help="An argument in its type: 5, text, 0x00ff, true, or a JSON list for a tuple.")
@click.option("--wait/--no-wait", default=False, help="Wait until the transaction is final, expired or refused.")
@gas_options
@click.option("--timeout", "timeout_s", type=click.FloatRange(min=0.1), default=DEFAULT_TIMEOUT_S, show_default=True, help="Seconds to wait at most.")
@signer_options(required=True)
@node_option
@json_option
def call(
    contract: str,
    method: str,
    pairs: tuple[str, ...],
    wait: bool,
    gas: int | None,
    force: bool,
    timeout_s: float,
    wallet: str,
    wallets: Path | None,
    node: str | None,
    output: Output,
) -> int:
    """Sign and send one call of CONTRACT's METHOD.

    The node runs it dry first: the gas limit to declare comes from there, and what the contract would refuse isn't sent.
    Exit status 1 if it is refused, or final with another outcome than OK.

    \b
    Example:
      carbonnode tx call matching place --arg book=CEA-2024 --arg side=B --arg price_fen=6196 \\
        --arg quantity_t=10 --arg ref=a1 --from st-001 --wait
    """
    from carbonnode.chain.arguments import bind_text, find_method, split_pairs

    named = split_pairs(pairs)
    signer = open_wallet(wallet, wallets)

    async def work(client: "Client") -> "Sent":
        args = bind_text(contract, find_method(await abi_of(client, contract), method, "export"), named)
        return await send(client, contract, method, args, wait=wait, gas=gas, force=force, timeout_s=timeout_s)

    return report(output, with_client(node, work, signer))


async def abi_of(client: "Client", contract: str) -> Any:
    """A contract's interface; a misspelt name gets a suggestion. Raises `RemoteError`."""
    from carbonnode.chain.arguments import did_you_mean
    from carbonnode.client import NodeRefusal

    try:
        return await client.abi(contract)
    except NodeRefusal as refusal:
        if refusal.code != "not-found":
            raise
        known = await client.contracts()
        message = f"no contract {contract!r} is installed{did_you_mean(contract, known)}: there are {', '.join(known)}"
        raise NodeRefusal(message, code="unknown-contract", status=refusal.status) from None


class Sent(NamedTuple):
    """What became of a call, and the gas limit that was chosen for it."""

    info: "TransactionInfo"
    gas: "GasChoice"


async def send(
    client: "Client",
    contract: str,
    method: str,
    args: tuple[Any, ...],
    *,
    wait: bool = True,
    gas: int | None = None,
    force: bool = False,
    timeout_s: float = DEFAULT_TIMEOUT_S,
    default_gas: int | None = None,
) -> Sent:
    """Choose the gas limit, sign, submit and perhaps wait.

    What a dry run says the contract would refuse isn't sent without `force`: then the status is `refused` and there is no id. A node's refusal raises
    `NodeRefusal`, or comes back as status `refused` after waiting.
    """
    import msgspec

    from carbonnode.chain.transaction import Call
    from carbonnode.client import DEFAULT_GAS, GasChoice, TransactionInfo

    calls = [Call(contract, method, args)]
    choice = GasChoice(gas, "given") if gas is not None else await _choose_gas(client, calls, default_gas or DEFAULT_GAS, patient=not force)
    found = choice.estimate
    if found is not None and choice.refused and not force:
        told = f"a dry run says that the contract would refuse it, so nothing was sent: {meaning(found.code, contract)}; to send it all the same, add --force"
        return Sent(TransactionInfo(tx_id="", status="refused", outcome=found.outcome, code=found.code, message=told), choice)
    transaction = await client.sign(calls, gas=choice.limit)
    # The node's own cap may be lower.
    choice = choice._replace(limit=transaction.body.gas_limit)
    if not wait:
        answer = await client.submit(transaction)
        return Sent(TransactionInfo(tx_id=answer.tx_id, status=answer.status), choice)
    note(f"sent {transaction.id.hex()}, waiting until it is final")
    info = (await client.settle([transaction], timeout_s=timeout_s))[0]
    if info.outcome == "OUT_OF_GAS":
        most = (await client.status()).max_transaction_gas
        again = min(RETRY_TIMES * choice.limit, most)
        hint = f"send it again with --gas {again}" if choice.limit < most else "that is the most a transaction may have: ask for less at once"
        info = msgspec.structs.replace(info, message=f"it had {choice.limit} gas; {hint}")
    return Sent(info, choice)


async def _choose_gas(client: "Client", calls: "list[Call]", default: int, *, patient: bool) -> "GasChoice":
    """By a dry run; `patient`: one that fails while transactions are under way is made again, since the call may need what they bring."""
    import asyncio
    import time

    deadline = time.monotonic() + UNDER_WAY_S
    while True:
        choice = await client.gas_for(calls, default=default)
        found = choice.estimate
        if found is None:
            note(f"the gas limit is the default, {choice.limit}: {choice.why}")
            return choice
        if not patient or not choice.refused or not found.waiting or time.monotonic() > deadline:
            return choice
        await asyncio.sleep(AGAIN_S)


def report(output: Output, sent: Sent) -> int:
    """Print where a transaction stands; the exit status."""
    info, gas = sent
    declared = {"gas_limit": gas.limit, "gas_source": gas.source} if info.tx_id else {"gas_limit": None, "gas_source": None}
    output.result({**as_dict(info), **declared})
    if info.status == "refused":
        told = f"the node refused the transaction: {info.message}" if info.tx_id else info.message
        note(f"error [{info.code}]: {told}")
        return 1
    if info.status == "expired":
        note("error [expired]: the transaction wasn't ordered before its valid-until height: send it again")
        return 1
    if info.status == "final" and not info.ok:
        code = info.code or info.outcome
        note(f"error [{code}]: the contract answered {info.outcome}, and nothing was changed: {info.message or meaning(code)}")
        return 1
    return 0


def as_dict(info: "TransactionInfo") -> dict[str, Any]:
    """The document of `tx call` and `tx show`."""
    import msgspec

    document: dict[str, Any] = {"tx_id": info.tx_id, "height": info.height, "status": info.status, "outcome": info.outcome, "code": info.code}
    document.update(gas_used=info.gas_used, values=info.values, events=msgspec.to_builtins(info.events))
    return document


@tx.command("show")
@click.argument("tx_id")
@click.option("--proof", type=click.Path(dir_okay=False, path_type=Path), metavar="FILE", help="Also write the proof file, for `carbonnode verify`.")
@click.option("--wait", "wait_s", type=click.FloatRange(0, 60), default=0, help="Seconds to wait for it to settle.")
@signer_options(required=False)
@node_option
@json_option
def show(tx_id: str, proof: Path | None, wait_s: float, wallet: str | None, wallets: Path | None, node: str | None, output: Output) -> int:
    """Where the transaction TX_ID stands: pending, ordered, final, expired or unknown.

    With --from it shows the events addressed to the wallet's entity too.

    \b
    Example:
      carbonnode tx show 5f0c...e1 --proof trade.proof.json
    """
    if len(tx_id) != 64 or set(tx_id.lower()) - set("0123456789abcdef"):
        raise ConfigError(f"{tx_id!r} is no transaction id: it has 64 hex digits")
    signer = open_wallet(wallet, wallets) if wallet else None

    async def work(client: "Client") -> "tuple[TransactionInfo, bytes | None]":
        info = await client.transaction(tx_id, wait_ms=int(wait_s * 1000))
        return info, await client.proof(tx_id) if proof is not None else None

    info, data = with_client(node, work, signer)
    if proof is not None and data is not None:
        write_file(proof, data, "proof")
    output.result(as_dict(info))
    return 0
