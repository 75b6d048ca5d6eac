"""Dry runs over HTTP: signed only, in JSON and MessagePack, and hostile bodies."""

from collections.abc import Iterator, Sequence
from typing import Any

import msgspec
import pytest
from litestar import Litestar
from litestar.testing import TestClient

from carbonnode.api.app import create_app
from carbonnode.chain.request import estimate_bytes, sign_request, view_bytes
from carbonnode.chain.service import ServiceRefusal
from carbonnode.chain.signing import KeySigner
from carbonnode.chain.transaction import MAX_TX_BYTES, Call

PATH = "/v1/transactions/estimate"
DEPOSIT = {"contract": "cash", "method": "deposit", "args": ["ST-001", 5, "r"]}
DEPOSIT_CALL = Call("cash", "deposit", ("ST-001", 5, "r"))


@pytest.fixture
def http(node: Any) -> Iterator[TestClient[Litestar]]:
    with TestClient(create_app(node), base_url="http://127.0.0.1:27001", raise_server_exceptions=False) as client:
        yield client


def signed(node: Any, signer: KeySigner, calls: Sequence[Call], late_ms: int = 0) -> dict[str, str]:
    now = node.now_ms() - late_ms
    credentials = sign_request(signer, estimate_bytes(node.chain_id, signer.public_key, now, calls), now)
    return {"Authorization": f"Carbonnode {credentials.sender.hex()}:{credentials.time_ms}:{credentials.signature.hex()}"}


def refusal(answer: Any, status: int, code: str) -> str:
    assert (answer.status_code, answer.json()["code"]) == (status, code), answer.text
    assert answer.headers["content-type"].startswith("application/problem+json")
    return str(answer.json()["detail"])


def test_calls_are_run_dry_as_the_signer(http: TestClient[Litestar], node: Any, owner: KeySigner) -> None:
    answer = http.post(PATH, json={"calls": [DEPOSIT]}, headers=signed(node, owner, [DEPOSIT_CALL]))
    assert answer.status_code == 200, answer.text
    assert answer.json() == {"height": 7, "outcome": "OK", "code": "", "gas_used": 42, "gas_limit": 100_084, "waiting": 0}
    assert node.estimated == [((DEPOSIT_CALL,), owner.public_key)]
    assert node.found == {}
    named = {**DEPOSIT, "args": {"ref": "r", "amount_fen": 5, "entity": "ST-001"}}
    packed = {"content-type": "application/msgpack", "accept": "application/msgpack"}
    two = [DEPOSIT_CALL, Call("cash", "fail")]
    body = msgspec.msgpack.encode({"calls": [named, {"contract": "cash", "method": "fail"}]})
    answer = http.post(PATH, content=body, headers=packed | signed(node, owner, two))
    assert msgspec.msgpack.decode(answer.content)["outcome"] == "OK"
    assert node.estimated[-1] == (tuple(two), owner.public_key)
    refused = http.post(PATH, json={"calls": [{"contract": "cash", "method": "fail"}]}, headers=signed(node, owner, two[1:])).json()
    assert (refused["outcome"], refused["code"], refused["gas_limit"]) == ("ABORT", "CASH-AVAILABLE", 0)


def test_only_who_holds_the_key_is_answered(http: TestClient[Litestar], node: Any, owner: KeySigner) -> None:
    body = {"calls": [DEPOSIT]}
    assert "sign the request" in refusal(http.post(PATH, json=body), 401, "unauthorized")
    once = signed(node, owner, [DEPOSIT_CALL])
    assert http.post(PATH, json=body, headers=once).status_code == 200
    assert "used before" in refusal(http.post(PATH, json=body, headers=once), 401, "unauthorized")
    refusal(http.post(PATH, json=body, headers=signed(node, owner, [Call("cash", "deposit", ("ST-001", 6, "r"))])), 401, "unauthorized")
    refusal(http.post(PATH, json=body, headers=signed(node, owner, [DEPOSIT_CALL], late_ms=61_000)), 401, "unauthorized")
    # What was signed to ask a view isn't taken for this.
    now = node.now_ms()
    other = sign_request(owner, view_bytes(node.chain_id, owner.public_key, now, "cash", "deposit", DEPOSIT_CALL.args, None), now)
    header = {"Authorization": f"Carbonnode {other.sender.hex()}:{other.time_ms}:{other.signature.hex()}"}
    refusal(http.post(PATH, json=body, headers=header), 401, "unauthorized")
    # Nobody's key is the ledger's own: what runs as it may do more.
    nobody = {"Authorization": f"Carbonnode {'00' * 32}:{node.now_ms()}:{'00' * 64}"}
    refusal(http.post(PATH, json=body, headers=nobody), 401, "unauthorized")
    assert len(node.estimated) == 1


@pytest.mark.parametrize(
    ("calls", "status", "code"),
    [
        ([], 400, "bad-request"),
        ([DEPOSIT] * 65, 400, "bad-request"),
        ([{**DEPOSIT, "gas": 5}], 400, "bad-request"),
        ([{"contract": "cash"}], 400, "bad-request"),
        ("deposit", 400, "bad-request"),
        ([{**DEPOSIT, "contract": "cahs"}], 404, "not-found"),
        ([{**DEPOSIT, "method": "balance"}], 422, "unknown-method"),
        ([{**DEPOSIT, "args": ["ST-001", "5", "r"]}], 422, "bad-argument"),
        ([{**DEPOSIT, "args": ["ST-001", 5]}], 422, "bad-argument"),
        ([{**DEPOSIT, "args": ["x" * 5_000, 5, "r"]}] * 64, 400, "too-large"),
    ],
)
def test_hostile_bodies_are_refused_before_anything_runs(
    http: TestClient[Litestar], node: Any, owner: KeySigner, calls: Any, status: int, code: str
) -> None:
    refusal(http.post(PATH, json={"calls": calls}, headers=signed(node, owner, [DEPOSIT_CALL])), status, code)
    assert node.estimated == []


def test_other_forms_and_sizes_are_refused(http: TestClient[Litestar], node: Any, owner: KeySigner) -> None:
    def post(content: bytes, media: str) -> Any:
        return http.post(PATH, content=content, headers={"content-type": media} | signed(node, owner, [DEPOSIT_CALL]))

    refusal(post(b"{", "application/json"), 400, "bad-request")
    refusal(post(b"\xc1", "application/msgpack"), 400, "bad-request")
    refusal(post(b"[" * 100_000, "application/json"), 400, "bad-request")
    refusal(post(b"calls", "text/plain"), 415, "unsupported-media-type")
    refusal(post(b" " * (2 * MAX_TX_BYTES + 2_000), "application/json"), 413, "too-large")
    assert node.estimated == []


def test_a_node_that_cannot_says_so(http: TestClient[Litestar], node: Any, owner: KeySigner) -> None:
    for number, (code, status) in enumerate((("busy", 429), ("not-ready", 503), ("not-available", 501))):
        node.estimate_refusal = ServiceRefusal("not now", code=code)
        headers = signed(node, owner, [DEPOSIT_CALL], late_ms=1_000 * number)
        refusal(http.post(PATH, json={"calls": [DEPOSIT]}, headers=headers), status, code)


def test_the_document_describes_it(http: TestClient[Litestar]) -> None:
    document = http.get("/openapi.json").json()
    operation = document["paths"][PATH]["post"]
    assert set(operation["requestBody"]["content"]) == {"application/json", "application/msgpack"}
    assert set(document["components"]["schemas"]["EstimateView"]["properties"]) == {"height", "outcome", "code", "gas_used", "gas_limit", "waiting"}
