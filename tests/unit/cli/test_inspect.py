"""`carbonnode status` and `doctor`: what is wrong fails, what only this kernel lacks is said."""

from carbonnode.cli.inspect import findings
from carbonnode.client import NodeInfo

ON = ["no_new_privs: on", "landlock: on, files only beneath data/state", "seccomp: on, only computing and files", "memory: on, at most 4096 MiB"]


def info(confinement: list[str], **changes: object) -> NodeInfo:
    fields: dict[str, object] = {
        "name": "super-1", "role": "super", "entity": "E", "network": "n", "version": "0", "pid": 1, "chain_id": "00", "epoch": 0, "height": 7,
        "header_hash": "00", "state_root": "00", "block_time_ms": 1_000, "time_ms": 1_000, "view": 0, "primary": "super-1", "peers": 3,
        "validity_blocks": 10, "max_transaction_gas": 1, "confinement": confinement,
    }  # fmt: skip
    return NodeInfo(**{**fields, **changes})  # type: ignore[arg-type]


def row(found: NodeInfo, check: str) -> dict[str, object]:
    (entry,) = [entry for entry in findings(found, 2_000) if entry["check"] == check]
    return entry


def test_a_confined_executor_needs_nothing() -> None:
    entry = row(info(ON), "confinement")
    assert (entry["ok"], entry["do"]) == (True, "-")
    assert "landlock: on" in str(entry["detail"])


def test_a_kernel_that_lacks_a_means_is_named_with_what_to_do() -> None:
    entry = row(info([*ON[:1], "landlock: off, the kernel doesn't have it", ON[2]]), "confinement")
    assert entry["ok"]
    assert "landlock: off" in str(entry["detail"])
    assert "Linux 5.13" in str(entry["do"])


def test_a_user_node_has_no_executor() -> None:
    assert row(info([]), "confinement")["detail"] == "no executor"


def test_what_is_wrong_fails() -> None:
    assert all(entry["ok"] for entry in findings(info(ON), 2_000))
    assert not findings(info(ON), 10**9)[0]["ok"]
    assert not row(info(ON, warnings=["abstaining"]), "warnings")["ok"]
    assert not row(info(ON, evidence=1), "evidence")["ok"]
    assert not row(info(ON, syncing=True), "sync")["ok"]
