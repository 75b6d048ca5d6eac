"""A node's surroundings follow the validator sets: whom it trusts and dials, what it says of its own part, when it takes its new keys."""

from pathlib import Path
from typing import Any

import pytest

from carbonnode.chain.genesis import Parameters
from carbonnode.chain.signing import KeySigner
from carbonnode.chain.validators import Validator, ValidatorSet
from carbonnode.consensus.config import EpochConfig
from carbonnode.identity import Strength, create_node_keys
from carbonnode.network import NetworkConfig, PeerAddress
from carbonnode.node.config import NodeConfig, NodeSection
from carbonnode.node.directory import NodeDirectory
from carbonnode.node.membership import Membership, OwnKeys, credible_height


def member(number: int, generation: int = 0) -> Validator:
    key = KeySigner(bytes([number + 1, generation]) + bytes(30)).public_key
    return Validator(f"v{number}", "super", key, KeySigner(bytes([number + 101, generation]) + bytes(30)).public_key)


FOUR = tuple(member(number) for number in range(4))


def epoch(number: int, members: tuple[Validator, ...]) -> EpochConfig:
    return EpochConfig(number, 50 * number + 1, ValidatorSet(members), Parameters())


class Town:
    """Stands for trust store, network, log and directory."""

    def __init__(self, own: Validator, ready: Validator | None = None) -> None:
        self.trusted: dict[str, Any] = {}
        self.said: list[str] = []
        self.alarms: list[str] = []
        self.rotations = 0
        self.rechecks = 0
        peers = tuple(PeerAddress(name=v.name, host="127.0.0.1", port=1, transport_key=v.transport_key) for v in FOUR)
        self.config = NetworkConfig(node_name=own.name, chain_id=bytes(32), peers=peers)
        keys = OwnKeys(own.name, own.role, own.consensus_key, own.transport_key)
        self.membership = Membership(
            keys, self, self, ready=lambda: ready, rotate=self._rotate, alarm=lambda code, _: self.alarms.append(code)  # type: ignore[arg-type]
        )

    def set_validators(self, members: tuple[Validator, ...], *, also: tuple[Validator, ...], names_bind: bool) -> None:
        self.trusted = {"members": members, "also": also, "names_bind": names_bind}

    def info(self, text: str, **_: object) -> None:
        self.said.append(text)

    warning = info

    def _rotate(self) -> None:
        self.rotations += 1

    def set_peers(self, config: NetworkConfig) -> None:
        self.config = config

    def recheck(self) -> None:
        self.rechecks += 1


def test_names_bind_only_once_the_node_has_caught_up() -> None:
    town = Town(FOUR[0])
    town.membership.entered(epoch(0, FOUR))
    bound = [town.trusted["names_bind"]]
    town.membership.caught_up()
    assert [*bound, town.trusted["names_bind"]] == [False, True]
    assert town.said == town.alarms == []


def test_the_next_set_may_come_and_the_former_may_stay_for_a_while() -> None:
    town = Town(FOUR[0])
    town.membership.attach(town)
    town.membership.entered(epoch(0, FOUR))
    following = (*FOUR[:3], member(3, 1), member(9))
    town.membership.decided(epoch(1, following))
    assert set(following) <= {*town.trusted["also"], *town.trusted["members"]}
    town.membership.entered(epoch(1, following))
    assert FOUR[3] in town.trusted["also"]
    assert [peer.transport_key for peer in town.config.peers] == [v.transport_key for v in following[:4]]
    begin = epoch(1, following)
    town.membership.reached(begin.first_height + begin.parameters.epoch_blocks - 1)
    assert FOUR[3] in town.trusted["also"]
    town.membership.reached(begin.first_height + begin.parameters.epoch_blocks)
    assert FOUR[3] not in town.trusted["also"]
    assert town.rechecks >= 3


def test_joining_and_leaving_are_told() -> None:
    town = Town(member(9))
    town.membership.entered(epoch(0, FOUR))
    town.membership.entered(epoch(1, (*FOUR, member(9))))
    town.membership.entered(epoch(1, (*FOUR, member(9))))
    town.membership.entered(epoch(2, FOUR))
    assert [text.split(":")[0] for text in town.said] == ["this node votes from now on", "this node no longer votes"]


def test_keys_that_lie_ready_are_taken_when_the_set_names_them() -> None:
    fresh = member(0, 1)
    town = Town(FOUR[0], ready=fresh)
    town.membership.entered(epoch(0, FOUR))
    assert town.rotations == 0
    town.membership.entered(epoch(1, (fresh, *FOUR[1:])))
    assert (town.rotations, town.alarms) == (1, [])


@pytest.mark.parametrize("ready", [None, member(0, 2)])
def test_keys_that_nobody_laid_down_are_an_alarm(ready: Validator | None) -> None:
    town = Town(FOUR[0], ready)
    town.membership.entered(epoch(0, FOUR))
    town.membership.entered(epoch(1, (member(0, 1), *FOUR[1:])))
    assert (town.rotations, town.alarms) == (0, ["other-keys"])


def test_a_directory_with_the_keys_of_another_validator_follows_and_alarms() -> None:
    town = Town(Validator("v0", "super", member(7).consensus_key, member(7).transport_key))
    town.membership.entered(epoch(0, FOUR))
    assert town.alarms == ["other-keys"]


@pytest.fixture
def directory(tmp_path: Path) -> NodeDirectory:
    made = NodeDirectory(tmp_path)
    create_node_keys(made.keys_path, "secret", strength=Strength.THROW_AWAY)
    made.certificate_path.write_bytes(b"old")
    return made


def lay_down(directory: NodeDirectory) -> Validator:
    consensus, transport = create_node_keys(directory.next_path / "keys", "secret", strength=Strength.THROW_AWAY)
    (directory.next_path / "certificate.pem").write_bytes(b"new")
    return Validator("v0", "super", consensus.public_key, transport.public_key)


CONFIG = NodeConfig(node=NodeSection(name="v0", role="super"))


def test_next_keys_count_only_with_their_certificate(directory: NodeDirectory) -> None:
    assert directory.next_member(CONFIG) is None
    fresh = lay_down(directory)
    assert directory.next_member(CONFIG) == fresh
    (directory.next_path / "certificate.pem").unlink()
    assert directory.next_member(CONFIG) is None


@pytest.mark.parametrize("steps_done", [0, 1, 2])
def test_promotion_is_finished_whatever_moment_a_crash_hit(directory: NodeDirectory, steps_done: int) -> None:
    before = {path.name: path.read_bytes() for path in directory.keys_path.iterdir()}
    lay_down(directory)
    fresh = {path.name: path.read_bytes() for path in (directory.next_path / "keys").iterdir()}
    if steps_done >= 1:
        directory.keys_path.rename(directory.path / "keys.former-1")
    if steps_done == 2:
        (directory.next_path / "keys").rename(directory.keys_path)
    assert directory.half_promoted is (steps_done > 0)
    directory.promote_next()
    assert not directory.half_promoted
    assert {path.name: path.read_bytes() for path in directory.keys_path.iterdir()} == fresh
    assert {path.name: path.read_bytes() for path in (directory.path / "keys.former-1").iterdir()} == before
    assert directory.certificate_path.read_bytes() == b"new"
    assert directory.next_member(CONFIG) is None


def test_one_liar_names_no_height_that_all_must_reach() -> None:
    assert credible_height([10, 10**18, 12], 1) == 12
    assert credible_height([10**18], 1) is None
    assert credible_height([], 0) is None
    assert credible_height([7], 0) == 7
