"""The entry point: the table of commands, and how errors end.

Exit status: 0 done, 1 refused or failed, 2 wrong usage. Nothing heavy is imported here: `carbonnode --help` answers within 0.3 s.
"""

import os
import sys
from collections.abc import Sequence
from typing import Any

import click

from carbonnode import __version__
from carbonnode.cli.groups import Lazy, LazyGroup
from carbonnode.cli.output import Output
from carbonnode.errors import CarbonnodeError

DEBUG_VARIABLE = "CARBONNODE_TRACEBACK"
_NODE, _CHAIN, _MARKET, _AUTHORS = "Network and node", "Wallet and chain", "Market and compliance", "Contracts, calculators, tools"

COMMANDS: dict[str, Lazy] = {
    "devnet": Lazy("carbonnode.cli.devnet", "devnet", "A whole network on this machine: up, status, demo, down.", _NODE),
    "init": Lazy("carbonnode.cli.node", "init", "Make a node's directory: keys, configuration, certificate request.", _NODE),
    "start": Lazy("carbonnode.cli.node", "start", "Run a node in the foreground.", _NODE),
    "rotate-keys": Lazy("carbonnode.cli.node", "rotate_keys", "Make a validator's next keys; it takes them when a vote names them.", _NODE),
    "status": Lazy("carbonnode.cli.inspect", "status", "A running node at a glance.", _NODE),
    "doctor": Lazy("carbonnode.cli.inspect", "doctor", "Check a node and say what to do about what is wrong.", _NODE),
    "verify-store": Lazy("carbonnode.cli.node", "verify_store", "Check every block and the state in a stopped node's directory.", _NODE),
    "snapshot": Lazy("carbonnode.cli.storage", "snapshot", "Snapshots of the state: create, list, verify.", _NODE),
    "backup": Lazy("carbonnode.cli.storage", "backup", "Back up a stopped node.", _NODE),
    "restore": Lazy("carbonnode.cli.storage", "restore", "Make a node's directory from a backup.", _NODE),
    "rollback": Lazy("carbonnode.cli.storage", "rollback", "Take one stopped node back to an earlier height.", _NODE),
    "roles": Lazy("carbonnode.cli.roles", "roles", "The roles of the network and who holds them.", _NODE),
    "wallet": Lazy("carbonnode.cli.wallet", "wallet", "Encrypted signing keys: new, list, show, backup.", _CHAIN),
    "tx": Lazy("carbonnode.cli.tx", "tx", "Call contracts by signed transactions; look transactions up.", _CHAIN),
    "query": Lazy("carbonnode.cli.query", "query", "Ask a contract's view.", _CHAIN),
    "verify": Lazy("carbonnode.cli.verify", "verify", "Verify a transaction's proof file offline.", _CHAIN),
    "block": Lazy("carbonnode.cli.blocks", "block", "Show certified blocks.", _CHAIN),
    "events": Lazy("carbonnode.cli.blocks", "events", "Follow certified events.", _CHAIN),
    "account": Lazy("carbonnode.cli.verbs", "account", "Entities: register, approve, freeze, cash.", _MARKET),
    "report": Lazy("carbonnode.cli.verbs", "report", "Emission plans, reports and their verification.", _MARKET),
    "allowance": Lazy("carbonnode.cli.verbs", "allowance", "Issue, allocate, hold and move allowances.", _MARKET),
    "market": Lazy("carbonnode.cli.verbs", "market", "The market's day: quotes, depth, closes, sessions.", _MARKET),
    "order": Lazy("carbonnode.cli.verbs", "order", "Place, cancel and list orders.", _MARKET),
    "trade": Lazy("carbonnode.cli.verbs", "trade", "Deliver and look up trades.", _MARKET),
    "voucher": Lazy("carbonnode.cli.voucher", "voucher", "Voucher codes: parse and check offline, look up on chain.", _MARKET),
    "surrender": Lazy("carbonnode.cli.verbs", "surrender", "Surrender allowances against an obligation.", _MARKET),
    "govern": Lazy("carbonnode.cli.governance", "govern", "Rule sets, proposals, votes, validators, the market clock.", _MARKET),
    "auction": Lazy("carbonnode.cli.auction", "auction", "The clearing rule of auctions.", _MARKET),
    "audit": Lazy("carbonnode.cli.audit", "audit", "Recompute what nodes say: blocks, agreement, sums.", _CHAIN),
    "cert": Lazy("carbonnode.cli.cert", "cert", "Node certificates: an authority, issue, show, check, revoke.", _NODE),
    "contract": Lazy("carbonnode.cli.contract", "contract", "Check and run contracts; show the installed ones.", _AUTHORS),
    "calc": Lazy("carbonnode.cli.calc", "calc", "The contracts' own formulas on a local state.", _AUTHORS),
    "sim": Lazy("carbonnode.cli.sim", "sim", "Run the consensus simulator.", _AUTHORS),
    "completion": Lazy("carbonnode.cli.completion", "completion", "Print a shell's completion script.", _AUTHORS),
}


@click.group(cls=LazyGroup, lazy=COMMANDS, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.version_option(__version__, prog_name="carbonnode")
def cli() -> None:
    """A permissioned blockchain node for carbon markets (IEEE Std 3218-2022).

    \b
    Examples:
      carbonnode devnet up
      carbonnode devnet demo
      carbonnode status --node http://127.0.0.1:27001
    """


def main(argv: Sequence[str] | None = None) -> None:
    """Run and exit."""
    sys.exit(run(sys.argv[1:] if argv is None else argv))


def run(argv: Sequence[str]) -> int:
    """Run a command line; its exit status. What goes wrong is said on stderr, and in JSON mode as the one document on stdout."""
    output = Output()
    try:
        result: Any = cli.main(args=list(argv), prog_name="carbonnode", standalone_mode=False, obj=output)
    except click.UsageError as error:
        error.show()
        if "--json" in argv:
            # Whoever reads JSON reads it here too: the option itself may not have been parsed.
            output.forced_json = True
            output.result({"error": {"code": "usage", "message": error.format_message()}})
        return 2
    except click.Abort:
        click.echo("stopped", err=True)
        return 130
    except click.ClickException as error:
        return _failed(output, "config", error.format_message())
    except CarbonnodeError as error:
        if os.environ.get(DEBUG_VARIABLE):
            raise
        return _failed(output, error.code, str(error))
    except BrokenPipeError:
        # Whoever read our output has gone: nothing is left to say, and nothing to flush.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        if os.environ.get(DEBUG_VARIABLE):
            raise
        return _failed(output, "io", f"{error.filename or 'input or output'}: {error.strerror or error}: check the path, its rights and the free space")
    return result if isinstance(result, int) else 0


def _failed(output: Output, code: str, message: str) -> int:
    click.echo(f"error [{code}]: {message}", err=True)
    if output.json and not output.written:
        output.result({"error": {"code": code, "message": message}})
    return 1
