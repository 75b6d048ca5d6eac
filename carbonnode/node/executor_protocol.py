"""What the node and its executor process say to each other: length-framed MessagePack over a socket pair.

A request is [number, command], an answer [number, answer]; answers come in the order of requests. Frames are bounded.
"""

import asyncio
from typing import Final

import msgspec

from carbonnode.chain.batch import SkipOrder
from carbonnode.chain.transaction import WireCall
from carbonnode.chain.values import WireValue

LENGTH_BYTES: Final = 4
MAX_FRAME_BYTES: Final = 512 * 1024 * 1024
FD_VARIABLE: Final = "CARBONNODE_EXECUTOR_FD"


class Command(msgspec.Struct, array_like=True, frozen=True, gc=False, forbid_unknown_fields=True, tag=True):
    """Base of all commands."""


class Open(Command, frozen=True):
    """The first command: open the state database in `path` for the chain of this genesis file.

    `sandbox`: confine the process, to `memory_bytes` of its own too (0: no limit).
    """

    path: str
    genesis: bytes
    flush_blocks: int
    reserve_bytes: int
    sandbox: bool
    memory_bytes: int


class Execute(Command, frozen=True):
    """Execute a batch (its encoding) with its transactions."""

    height: int
    batch: bytes
    transactions: tuple[bytes, ...]
    skip_orders: tuple[SkipOrder, ...]


class Finalise(Command, frozen=True):
    """Finalise an executed height."""

    height: int


class DiscardAbove(Command, frozen=True):
    """Drop executed blocks above a height."""

    height: int


class Flush(Command, frozen=True):
    """Sync the database."""


class Status(Command, frozen=True):
    """Where the ledger stands."""


class Epochs(Command, frozen=True):
    """The epoch in force, and the one decided to follow."""


class GenesisBlock(Command, frozen=True):
    """Block 0."""


class Query(Command, frozen=True):
    """Run a view."""

    contract: str
    view: str
    args: tuple[WireValue, ...]
    sender: bytes
    height: int | None
    gas: int


class Estimate(Command, frozen=True):
    """A dry run of a transaction's calls."""

    calls: tuple[WireCall, ...]
    sender: bytes
    gas: int


class Prove(Command, frozen=True):
    """A state proof."""

    key: bytes
    height: int | None


class Abi(Command, frozen=True):
    """A contract's interface."""

    name: str
    height: int | None


class Contracts(Command, frozen=True):
    """Names of installed contracts."""


class SnapshotBegin(Command, frozen=True):
    """Freeze the state of `height`, the final and flushed one, to be written into `directory`; False if the state stands elsewhere."""

    height: int
    directory: str


class SnapshotWork(Command, frozen=True):
    """Go on writing the snapshot of `height` for about `budget_us`."""

    height: int
    budget_us: int


class SnapshotDrop(Command, frozen=True):
    """Give up the snapshot that is being written."""


AnyCommand = (
    Open | Execute | Finalise | DiscardAbove | Flush | Status | Epochs | GenesisBlock | Query | Estimate | Prove | Abi | Contracts
    | SnapshotBegin | SnapshotWork | SnapshotDrop
)  # fmt: skip


class Done(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=True):
    """The command's result, encoded; `elapsed_us` is the executor's time on it, `held_bytes` the memory of blocks that aren't on disk after it."""

    result: bytes
    elapsed_us: int
    held_bytes: int


class Failed(msgspec.Struct, array_like=True, frozen=True, gc=False, tag=True):
    """The command raised: name of the error's class in `carbonnode.errors`, its code and message."""

    error: str
    code: str
    message: str


class Hello(msgspec.Struct, array_like=True, frozen=True):
    """The answer to `Open`: what confines the process, or why nothing does."""

    pid: int
    confinement: tuple[str, ...]


class SnapshotProgress(msgspec.Struct, array_like=True, frozen=True):
    """How far a snapshot is: `done` says that all its files are written, not yet synced."""

    done: bool
    leaves: int
    chunks: int
    size_bytes: int


AnyAnswer = Done | Failed

encoder = msgspec.msgpack.Encoder()
request_decoder: "msgspec.msgpack.Decoder[tuple[int, AnyCommand]]" = msgspec.msgpack.Decoder(tuple[int, AnyCommand])
answer_decoder: "msgspec.msgpack.Decoder[tuple[int, AnyAnswer]]" = msgspec.msgpack.Decoder(tuple[int, AnyAnswer])


def frame(number: int, content: AnyCommand | AnyAnswer) -> bytes:
    """A framed request or answer. Raises `ValueError` if it is larger than a frame may be."""
    body = encoder.encode((number, content))
    if len(body) > MAX_FRAME_BYTES:
        raise ValueError(f"a frame of {len(body)} bytes between node and executor exceeds {MAX_FRAME_BYTES}")
    return len(body).to_bytes(LENGTH_BYTES, "big") + body


async def read_answer(reader: asyncio.StreamReader) -> tuple[int, AnyAnswer]:
    """The next answer. Raises `asyncio.IncompleteReadError` or `ConnectionError` when the process has ended."""
    head = await reader.readexactly(LENGTH_BYTES)
    return answer_decoder.decode(await reader.readexactly(int.from_bytes(head, "big")))


def describe(command: AnyCommand) -> str:
    """A command in words, for logs."""
    height = getattr(command, "height", None)
    return type(command).__name__.lower() + ("" if height is None else f" of height {height}")
