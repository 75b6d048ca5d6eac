"""Genesis files: round trip, chain id, and errors that name the key."""

import json

import pytest

from carbonnode.chain.genesis import Genesis, parse_genesis
from carbonnode.errors import ConfigError


def test_round_trip_keeps_the_chain_id(genesis: Genesis) -> None:
    """What was written is read back as the same chain."""
    again = parse_genesis(genesis.to_json())
    assert again.chain_id == genesis.chain_id
    assert again.calls == genesis.calls


@pytest.mark.parametrize(
    ("change", "names"),
    [
        ({"colour": 1}, "colour"),
        ({"version": 9}, "version 9"),
        ({"parameters": {"windw": 3}}, "parameters.windw"),
        ({"parameters": {"window": 0}}, "parameters.window"),
        ({"parameters": {"window": "wide"}}, "window|int"),
        ({"parameters": {"profile": "raft"}}, "raft"),
        ({"validators": []}, "validators"),
        ({"calls": [{"contract": "a", "method": "b", "args": [1.5]}]}, "1.5"),
        ({"ca_roots": 5}, "ca_roots"),
    ],
)
def test_wrong_keys_are_named(genesis: Genesis, change: dict[str, object], names: str) -> None:
    """The error says which key is wrong."""
    data = json.loads(genesis.to_json()) | change
    with pytest.raises(ConfigError, match=names):
        parse_genesis(json.dumps(data).encode())


def test_every_field_changes_the_chain_id(genesis: Genesis) -> None:
    """Two networks that differ in anything are two chains."""
    data = json.loads(genesis.to_json())
    changes: list[dict[str, object]] = [{"network": "other"}, {"time_ms": 2}, {"test_clock": True}, {"ca_roots": ["x"]}, {"calls": []}]
    ids = {parse_genesis(json.dumps(data | change).encode()).chain_id for change in changes}
    assert len(ids | {genesis.chain_id}) == len(changes) + 1


def test_duplicate_keys_are_refused(genesis: Genesis) -> None:
    """One key can't vote twice."""
    data = json.loads(genesis.to_json())
    data["validators"][1]["consensus_key"] = data["validators"][0]["consensus_key"]
    with pytest.raises(ConfigError, match="unique"):
        parse_genesis(json.dumps(data).encode())


def test_not_json() -> None:
    """A broken file is named."""
    with pytest.raises(ConfigError, match=r"net\.json"):
        parse_genesis(b"{", "net.json")
