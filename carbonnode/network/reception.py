"""Where the network's events arrive on the asyncio loop: keeps the table of live links, and passes everything on to the daemon's handler."""

from collections.abc import Callable

from carbonnode.network.handler import NetworkHandler
from carbonnode.network.peer import Channel, Refusal
from carbonnode.network.requests import RequestDesk
from carbonnode.network.shared import LinkHandle, StreamId
from carbonnode.network.wire import Frame


class Reception:
    """Called through the bridge, on the loop only, in the order in which things happened."""

    def __init__(self, handler: NetworkHandler, desk: RequestDesk, put_reply: Callable[[LinkHandle, int, bytes], None]) -> None:
        self.links: dict[str, LinkHandle] = {}
        self.last_error: dict[str, str] = {}
        self._handler = handler
        self._desk = desk
        self._put_reply = put_reply

    def link_up(self, link: LinkHandle, replaced: LinkHandle | None) -> None:
        """A link is usable; `replaced` is the one to the same peer whose place it takes."""
        self.links[link.identity.name] = link
        self.last_error.pop(link.identity.name, None)
        if replaced is not None:
            self._desk.fail_peer(link.identity.name, "the link was replaced by a newer one")
        else:
            self._handler.on_peer_up(link.identity)

    def link_down(self, link: LinkHandle, reason: str) -> None:
        """A link ended; silent if another one has taken its place."""
        name = link.identity.name
        if self.links.get(name) is not link:
            return
        del self.links[name]
        self.last_error[name] = reason
        self._desk.fail_peer(name, f"the link closed ({reason})")
        self._handler.on_peer_down(link.identity, reason)

    def frames(self, link: LinkHandle, stream: StreamId, frames: list[bytes], size: int) -> None:
        """Frames of one read of a public channel."""
        try:
            self._handler.on_frames(link.identity, Channel(stream), frames)
        finally:
            self._took(link, stream, size)

    def sync_frames(self, link: LinkHandle, frames: list[Frame], size: int) -> None:
        """Requests and answers."""
        try:
            for kind, payload in frames:
                self._desk.take(link, kind, payload, self._put_reply)
        finally:
            self._took(link, StreamId.SYNC, size)

    def redial(self, name: str, outcome: str) -> None:
        """A dial failed."""
        self.last_error[name] = outcome
        self._handler.on_redial(name, outcome)

    def refused(self, address: str, refusal: Refusal, inbound: bool) -> None:
        """One side refused the other."""
        self._handler.on_refused(address, refusal, inbound)

    def _took(self, link: LinkHandle, stream: StreamId, size: int) -> None:
        link.taken[stream] += size
        resume = link.resumes[stream]
        if resume is not None:
            resume()
