"""config.toml: what is written is read back; every slip is an error that names the key."""

from pathlib import Path

import msgspec
import pytest

from carbonnode.errors import ConfigError
from carbonnode.node.config import ApiSection, NetworkSection, NodeConfig, NodeSection, PeerSection, load_config, parse_config, to_toml

KEY = "ab" * 32
MINIMAL = '[node]\nname = "n"\nrole = "super"\n'


def full_config() -> NodeConfig:
    peers = (PeerSection(name="a", host="h", port=1, transport_key=KEY), PeerSection(name='quo"ted', host="::1", port=2, transport_key=KEY))
    network = NetworkSection(host="0.0.0.0", port=5, peers=peers, domains=("x.example", "y.example"))  # noqa: S104 - a value, nothing listens
    return NodeConfig(node=NodeSection(name="ünïcode", role="user", record=True), network=network, api=ApiSection(port=0))


def test_what_is_written_is_read_back() -> None:
    assert parse_config(to_toml(full_config())) == full_config()


def test_defaults_need_only_name_and_role() -> None:
    config = parse_config(MINIMAL)
    assert config == NodeConfig(node=NodeSection(name="n", role="super"))


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("[nod]\n" + MINIMAL, "unknown key nod: did you mean node?"),
        (MINIMAL + "rolle = 1\n", "unknown key node.rolle: did you mean node.role?"),
        (MINIMAL + "[network]\nprot = 1\n", "unknown key network.prot: did you mean network.port?"),
        (MINIMAL + f'[[network.peers]]\nname="a"\nhost="h"\nport=1\ntransport_key="{KEY}"\nkey=1\n', "unknown key network.peers.key"),
        (MINIMAL + "[network]\nzzzzqqqq = 1\n", "the keys here are network.host"),
        ('[node]\nname = "n"\n', "role"),
        ('[node]\nname = "n"\nrole = "king"\n', "node.role"),
        ('[node]\nname = ""\nrole = "super"\n', "node.name"),
        (MINIMAL + 'log_level = "loud"\n', "node.log_level"),
        (MINIMAL + '[network]\nport = "27000"\n', "network.port"),
        (MINIMAL + "[network]\nport = 70000\n", "network.port"),
        (MINIMAL + "[api]\nport = -1\n", "api.port"),
        (MINIMAL + '[[network.peers]]\nname="a"\nhost="h"\nport=1\ntransport_key="abc"\n', "transport_key of 'a'"),
        (MINIMAL + f'[[network.peers]]\nname="a"\nhost="h"\nport=0\ntransport_key="{KEY}"\n', "port of 'a'"),
        (MINIMAL + f'[[network.peers]]\nname="a"\nhost="h"\nport=1\ntransport_key="{KEY}"\n' * 2, "twice"),
        (MINIMAL + "[network]\ndomains = []\n", "network.domains"),
        (MINIMAL + "[mempool]\nper_account = 0\n", "mempool.per_account"),
        (MINIMAL + "[network]\nheartbeat_ms = 6000\n", "dead_after_ms"),
        ("[node\n", "not valid TOML"),
    ],
)
def test_a_slip_is_an_error_that_names_the_key(text: str, named: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse_config(text, "D/config.toml")
    assert named in str(caught.value)
    assert "D/config.toml" in str(caught.value)


def test_a_missing_file_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="carbonnode init"):
        load_config(tmp_path / "config.toml")


def test_every_key_stands_in_the_written_file() -> None:
    text = to_toml(full_config())
    for section in msgspec.structs.fields(NodeConfig):
        assert f"[{section.name}]" in text
        kind = section.type
        assert isinstance(kind, type)
        for key in msgspec.structs.fields(kind):
            assert key.name in text
