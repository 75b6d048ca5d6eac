"""Keeps a node's surroundings in step with the chain's validator sets: whom the handshake binds, whom the network dials, and this node's own part.

Keys rotate like this: the operator lays the new ones down in `next/` (`carbonnode rotate-keys`), a vote names them, and when their epoch begins the node
starts itself again with them. A key that was replaced stays admitted for `epoch_blocks` blocks, so that its node can still hear of the change; whoever
must be shut out at once is revoked by its authority.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Protocol

import msgspec

from carbonnode.chain.validators import Validator
from carbonnode.consensus.config import EpochConfig
from carbonnode.identity import TrustStore
from carbonnode.network import NetworkConfig, PeerAddress
from carbonnode.node.logs import Logger


class Links(Protocol):
    """The part of `Network` that follows the membership."""

    config: NetworkConfig

    def set_peers(self, config: NetworkConfig) -> None:
        """Dial these from now on."""
        ...

    def recheck(self) -> None:
        """Verify every link's credential again."""
        ...


@dataclass(frozen=True, slots=True)
class OwnKeys:
    """The keys that this process runs with, under its name and role."""

    name: str
    role: str
    consensus: bytes
    transport: bytes

    @property
    def member(self) -> Validator:
        """This node as a validator."""
        return Validator(self.name, self.role, self.consensus, self.transport)


class Membership:
    """`rotate` is called when the set names keys that lie ready for this node: it must start again with them."""

    def __init__(
        self,
        own: OwnKeys,
        trust: TrustStore,
        log: Logger,
        *,
        ready: Callable[[], Validator | None],
        rotate: Callable[[], None],
        alarm: Callable[[str, str], None],
    ) -> None:
        self._own = own
        self._trust = trust
        self._log = log
        self._ready = ready
        self._rotate = rotate
        self._alarm = alarm
        self._links: Links | None = None
        self._current: EpochConfig | None = None
        self._former: tuple[Validator, ...] = ()
        self._upcoming: tuple[Validator, ...] = ()
        self._caught_up = False

    def attach(self, links: Links) -> None:
        """The network, once it is there."""
        self._links = links
        self._apply()

    def decided(self, upcoming: EpochConfig | None) -> None:
        """The set of the next epoch is fixed: its members may come."""
        members = () if upcoming is None else upcoming.validators.validators
        if members and members != self._upcoming:
            self._upcoming = members
            self._apply()

    def entered(self, epoch: EpochConfig) -> None:
        """An epoch began here."""
        before, self._current = self._current, epoch
        if before is not None and before.epoch == epoch.epoch:
            return
        members = epoch.validators.validators
        if before is not None:
            self._former = tuple(member for member in before.validators.validators if member not in members)
        self._upcoming = ()
        self._apply()
        self._tell_own_part(before, epoch)

    def reached(self, height: int) -> None:
        """A block is final here: keys that were replaced have had their time."""
        if self._former and self._current is not None and height >= self._current.first_height + self._current.parameters.epoch_blocks:
            self._former = ()
            self._apply()

    def caught_up(self) -> None:
        """This node stands where the others stand: from now on a validator's name binds to its key in the current set."""
        if not self._caught_up:
            self._caught_up = True
            self._apply()

    def _apply(self) -> None:
        if self._current is None:
            return
        members = self._current.validators.validators
        self._trust.set_validators(members, also=(*self._former, *self._upcoming, self._own.member), names_bind=self._caught_up)
        if self._links is not None:
            config = self._links.config
            peers = tuple(replaced_keys(config.peers, members))
            if peers != config.peers:
                self._links.set_peers(msgspec.structs.replace(config, peers=peers))
            self._links.recheck()

    def _tell_own_part(self, before: EpochConfig | None, epoch: EpochConfig) -> None:
        name, log = self._own.name, self._log
        ours = next((member for member in epoch.validators.validators if member.name == name), None)
        was = before is not None and before.validators.index_of(self._own.consensus) is not None
        if ours is None:
            if was:
                text = "this node no longer votes: it goes on as a follower; stop it if it isn't needed"
                log.warning(text, epoch=epoch.epoch, from_height=epoch.first_height)
            return
        if ours == self._own.member:
            if before is not None and not was:
                log.info("this node votes from now on", epoch=epoch.epoch, from_height=epoch.first_height)
            return
        if self._ready() == ours:
            log.warning("keys rotate: the node starts again with the new ones", epoch=epoch.epoch, from_height=epoch.first_height)
            self._rotate()
            return
        keys = f"consensus key {ours.consensus_key.hex()}, transport key {ours.transport_key.hex()}, role {ours.role}"
        self._alarm("other-keys", f"epoch {epoch.epoch} names {name} with {keys}, this node runs with others: it doesn't vote; see `carbonnode rotate-keys`")


def replaced_keys(peers: Iterable[PeerAddress], members: Iterable[Validator]) -> Iterable[PeerAddress]:
    """The configured peers, with the transport keys that the validator set gives them."""
    keys = {member.name: member.transport_key for member in members}
    return [msgspec.structs.replace(peer, transport_key=keys.get(peer.name, peer.transport_key)) for peer in peers]


def credible_height(said: Iterable[int], faults: int) -> int | None:
    """The greatest height that more validators than may lie say they hold; None while too few have said anything."""
    ranked = sorted(said, reverse=True)
    return ranked[faults] if len(ranked) > faults else None
