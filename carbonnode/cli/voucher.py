"""`carbonnode voucher`: codes parsed and checked offline by the voucher contract's own code, and looked up on chain."""

from typing import TYPE_CHECKING, Any

import click

from carbonnode.cli.groups import SuggestingGroup
from carbonnode.cli.output import Output, note
from carbonnode.cli.session import json_option
from carbonnode.cli.verbs import add_verbs

if TYPE_CHECKING:
    from collections.abc import Callable


@click.group(cls=SuggestingGroup)
def voucher() -> None:
    """Voucher codes: parse and check offline, look up on chain.

    \b
    Example:
      carbonnode voucher check 1T-CNSH-20251119-143207-CEA24-00000412-0-OH
    """


def _answer(output: Output, code: str, work: "Callable[[str], dict[str, Any]]") -> int:
    from carbonnode.errors import ContractError

    try:
        document = work(code)
    except ContractError as error:
        document = {"ok": False, "code": code, "error": error.code, "message": str(error)}
    output.result(document)
    if document.get("ok") is False:
        note(f"error [{document['error']}]: {document['message']}: compare it with the certificate, character by character")
        return 1
    return 0


@voucher.command("parse")
@click.argument("code")
@json_option
def parse(code: str, output: Output) -> int:
    """The fields of CODE; exit status 1 on a wrong check character or field.

    \b
    Example:
      carbonnode voucher parse 1T-CNSH-20251119-143207-CEA24-00000412-0-OH
    """
    from carbonnode.local import vouchers

    return _answer(output, code, vouchers.parse)


@voucher.command("check")
@click.argument("code")
@json_option
def check(code: str, output: Output) -> int:
    """Whether CODE is well formed; exit status 1 if it isn't. Whether it was ever issued: `carbonnode voucher status`.

    \b
    Example:
      carbonnode voucher check 1T-CNSH-20251119-143207-CEA24-00000412-0-OH
    """
    from carbonnode.local import vouchers

    return _answer(output, code, vouchers.check)


add_verbs(voucher, "voucher")
