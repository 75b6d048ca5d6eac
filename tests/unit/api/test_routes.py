"""Every route over the node in memory: what it answers, and how it refuses."""

from collections.abc import Iterator
from typing import Any

import msgspec
import pytest
from litestar import Litestar
from litestar.testing import TestClient

from carbonnode.api.app import create_app
from carbonnode.chain.request import hello_bytes, read_bytes, sign_request, view_bytes
from carbonnode.chain.signing import KeySigner
from carbonnode.chain.transaction import Body, Call, Transaction


@pytest.fixture
def http(node: Any) -> Iterator[TestClient[Litestar]]:
    with TestClient(create_app(node), base_url="http://127.0.0.1:27001", raise_server_exceptions=False) as client:
        yield client


def signed(node: Any, signer: KeySigner, *calls: Call, nonce: int = 1) -> Transaction:
    calls = calls or (Call("cash", "deposit", ("ST-001", 5, "r")),)
    return Transaction.sign(Body(node.chain_id, signer.public_key, nonce.to_bytes(16, "big"), 900, 1_000_000, calls), signer)


def authorization(signer: KeySigner, time_ms: int, message: bytes) -> dict[str, str]:
    credentials = sign_request(signer, message, time_ms)
    return {"Authorization": f"Carbonnode {credentials.sender.hex()}:{credentials.time_ms}:{credentials.signature.hex()}"}


def check_problem(response: Any, status: int, code: str) -> str:
    assert response.status_code == status, response.text
    assert response.headers["content-type"].startswith("application/problem+json")
    details = response.json()
    assert set(details) == {"type", "title", "status", "detail", "code"}
    assert (details["status"], details["code"], details["type"]) == (status, code, f"urn:carbonnode:problem:{code}")
    return str(details["detail"])


def test_status_names_height_roots_and_counts_links(http: TestClient[Litestar], node: Any) -> None:
    answer = http.get("/v1/status").json()
    assert (answer["height"], answer["state_root"], answer["chain_id"]) == (7, "bb" * 32, node.chain_id.hex())
    assert answer["peers"] == 1
    assert [peer["name"] for peer in answer["peer_list"]] == ["super-2", "coordination-2"]


def test_probes_and_metrics(http: TestClient[Litestar], node: Any) -> None:
    assert http.get("/healthz").status_code == 200
    assert http.get("/readyz").json()["ok"] is True
    node.ready = False
    refused = http.get("/readyz")
    assert (refused.status_code, refused.json()["checks"][0]["detail"]) == (503, "no quorum: start another validator")
    assert http.get("/healthz").status_code == 200
    metrics = http.get("/metrics")
    assert metrics.headers["content-type"].startswith("text/plain; version=0.0.4")
    assert b"carbonnode_height 7" in metrics.content


def test_blocks_by_height_range_and_latest(http: TestClient[Litestar]) -> None:
    assert http.get("/v1/blocks/3").json()["height"] == 3
    assert http.get("/v1/blocks/latest").json()["height"] == 7
    assert [block["height"] for block in http.get("/v1/blocks", params={"first": 5, "count": 100}).json()] == [5, 6, 7]
    assert len(http.get("/v1/blocks/3").json()["certificate"]["votes"]) == 3
    assert "last is 7" in check_problem(http.get("/v1/blocks/8"), 404, "not-found")
    check_problem(http.get("/v1/blocks/99999999999999999999"), 400, "bad-request")
    check_problem(http.get("/v1/blocks", params={"count": 101}), 400, "bad-request")


def test_submit_takes_json_and_raw_bytes_and_is_idempotent(http: TestClient[Litestar], node: Any, owner: KeySigner) -> None:
    tx = signed(node, owner)
    first = http.post("/v1/transactions", json={"raw": tx.raw.hex()})
    assert (first.status_code, first.json()["tx_id"], first.json()["status"]) == (202, tx.id.hex(), "pending")
    again = http.post("/v1/transactions", content=tx.raw, headers={"content-type": "application/msgpack"})
    assert (again.status_code, again.json()["tx_id"]) == (202, tx.id.hex())
    shown = http.get(f"/v1/transactions/{tx.id.hex()}").json()
    assert (shown["status"], shown["outcome"], shown["code"], shown["height"], shown["values"]) == ("final", "OK", "", 8, [1])


@pytest.mark.parametrize(
    ("content", "media", "status", "code"),
    [
        (b"{", "application/json", 400, "bad-request"),
        (b'{"raw": "zz"}', "application/json", 400, "bad-request"),
        (b'{"raw": "00", "extra": 1}', "application/json", 400, "bad-request"),
        (b"\xc1", "application/msgpack", 400, "malformed"),
        (b"raw", "text/plain", 415, "unsupported-media-type"),
        (b"\x00" * 600_000, "application/msgpack", 413, "too-large"),
    ],
)
def test_bad_submissions_are_refused_with_their_code(http: TestClient[Litestar], content: bytes, media: str, status: int, code: str) -> None:
    check_problem(http.post("/v1/transactions", content=content, headers={"content-type": media}), status, code)


def test_foreign_chain_and_full_pool_say_who_is_to_blame(http: TestClient[Litestar], node: Any, owner: KeySigner) -> None:
    foreign = Transaction.sign(Body(b"\x01" * 32, owner.public_key, bytes(16), 900, 1, (Call("cash", "deposit"),)), owner)
    check_problem(http.post("/v1/transactions", json={"raw": foreign.raw.hex()}), 400, "chain")
    node.full = True
    response = http.post("/v1/transactions", json={"raw": signed(node, owner).raw.hex()})
    check_problem(response, 503, "mempool-full")
    assert response.headers["retry-after"] == "1"


def test_a_batch_answers_one_by_one(http: TestClient[Litestar], node: Any, owner: KeySigner) -> None:
    good, other = signed(node, owner, nonce=1), signed(node, owner, nonce=2)
    body = msgspec.msgpack.encode([good.raw, b"junk", other.raw])
    answer = http.post("/v1/transactions/batch", content=body, headers={"content-type": "application/msgpack", "accept": "application/msgpack"})
    results = msgspec.msgpack.decode(answer.content)["results"]
    assert [r["status"] for r in results] == ["pending", "refused", "pending"]
    assert results[1]["code"] == "malformed"
    as_json = http.post("/v1/transactions/batch", json={"raw": [good.raw.hex()]}).json()
    assert as_json["results"][0]["tx_id"] == good.id.hex()
    too_many = msgspec.msgpack.encode([b""] * 2_001)
    check_problem(http.post("/v1/transactions/batch", content=too_many, headers={"content-type": "application/msgpack"}), 400, "bad-request")
    check_problem(http.post("/v1/transactions/batch", content=b"\x93", headers={"content-type": "application/msgpack"}), 400, "bad-request")


def test_statuses_of_many(http: TestClient[Litestar], node: Any, owner: KeySigner) -> None:
    tx = signed(node, owner, Call("cash", "fail"))
    http.post("/v1/transactions", json={"raw": tx.raw.hex()})
    answer = http.post("/v1/transactions/status", json={"tx_ids": [tx.id.hex(), "00" * 32], "wait_ms": 10}).json()["transactions"]
    assert [(t["status"], t["outcome"], t["code"]) for t in answer] == [("final", "ABORT", "CASH-AVAILABLE"), ("unknown", "", "")]
    check_problem(http.post("/v1/transactions/status", json={"tx_ids": ["00"]}), 400, "bad-request")
    check_problem(http.post("/v1/transactions/status", json={"tx_ids": [], "wait_ms": 60_001}), 400, "bad-request")


def test_events_of_a_transaction_need_a_signed_request(http: TestClient[Litestar], node: Any, owner: KeySigner) -> None:
    tx = signed(node, owner)
    node.entities[owner.public_key] = "ST-001"
    http.post("/v1/transactions", json={"raw": tx.raw.hex()})
    path = f"/v1/transactions/{tx.id.hex()}"
    assert http.get(path).json()["events"] == []
    now = node.now_ms()
    headers = authorization(owner, now, read_bytes(node.chain_id, owner.public_key, now, [tx.id]))
    (event,) = http.get(path, headers=headers).json()["events"]
    assert (event["to"], event["fields"]) == ("ST-001", {"amount_fen": 5})


def test_proof_is_served_and_missing_ones_refused(http: TestClient[Litestar], node: Any, owner: KeySigner) -> None:
    tx = signed(node, owner)
    http.post("/v1/transactions", json={"raw": tx.raw.hex()})
    assert http.get(f"/v1/transactions/{tx.id.hex()}/proof").json()["version"] == 1
    check_problem(http.get(f"/v1/transactions/{'00' * 32}/proof"), 404, "not-found")


def test_contracts_and_interfaces(http: TestClient[Litestar]) -> None:
    assert http.get("/v1/contracts").json() == {"contracts": ["cash", "echo", "matching"]}
    methods = {m["name"]: m for m in http.get("/v1/contracts/cash").json()["methods"]}
    assert methods["deposit"]["parameters"][1] == {"name": "amount_fen", "type": "int"}
    assert "cash" in check_problem(http.get("/v1/contracts/cahs"), 404, "not-found")


def test_views_by_name_place_and_url_carry_every_type(http: TestClient[Litestar], node: Any) -> None:
    named = {"i": 5, "s": "x", "b": {"hex": "00ff"}, "f": True, "t": [1, "a"]}
    by_name = http.post("/v1/contracts/echo/back", json={"args": named}).json()
    assert by_name["value"] == [5, "x", {"hex": "00ff"}, True, [1, "a"]]
    by_place = http.post("/v1/contracts/echo/back", json={"args": [5, "x", "0x00ff", True, [1, "a"]], "height": 3})
    assert by_place.json()["value"] == by_name["value"]
    assert node.queried[-1][4] == 3
    url = http.get("/v1/contracts/echo/back", params={"i": "5", "s": "x", "b": "0x00ff", "f": "true", "t": '[1, "a"]', "_height": "2"})
    assert url.json()["value"] == by_name["value"]
    assert node.queried[-1][4] == 2


@pytest.mark.parametrize(
    ("args", "says"),
    [
        ({"i": "5"}, "needs"),
        ({"i": 5, "s": "x", "b": "00", "f": True, "t": [], "u": 1}, "no argument 'u'"),
        ({"i": True, "s": "x", "b": "00", "f": True, "t": []}, "argument i"),
        ({"i": 1.5, "s": "x", "b": "00", "f": True, "t": []}, "argument i"),
        ([1], "takes 5 arguments"),
    ],
)
def test_bad_arguments_are_named(http: TestClient[Litestar], args: Any, says: str) -> None:
    assert says in check_problem(http.post("/v1/contracts/echo/back", json={"args": args}), 422, "bad-argument")


def test_unknown_views_suggest_and_name_the_kind(http: TestClient[Litestar]) -> None:
    assert "did you mean balance?" in check_problem(http.get("/v1/contracts/cash/balanse"), 422, "unknown-method")
    assert "tx call" in check_problem(http.get("/v1/contracts/cash/deposit"), 422, "unknown-method")


def test_private_views_see_the_signer_once_and_within_the_window(http: TestClient[Litestar], node: Any, owner: KeySigner) -> None:
    path, key = "/v1/contracts/cash/balance", owner.public_key
    assert http.post(path, json={"args": ["ST-001"]}).json()["code"] == "ACCESS-READ"

    def ask(time_ms: int, args: tuple[str, ...] = ("ST-001",), chain_id: bytes = node.chain_id) -> Any:
        headers = authorization(owner, time_ms, view_bytes(chain_id, key, time_ms, "cash", "balance", args, None))
        return http.post(path, json={"args": ["ST-001"]}, headers=headers)

    now = node.now_ms()
    assert ask(now).json()["value"] == [100, 0]
    assert node.queried[-1][3] == key
    assert "used before" in check_problem(ask(now), 401, "unauthorized")
    check_problem(ask(now - 61_000), 401, "unauthorized")
    check_problem(ask(now + 61_000), 401, "unauthorized")
    check_problem(ask(now, args=("ST-002",)), 401, "unauthorized")
    check_problem(ask(now, chain_id=b"\x01" * 32), 401, "unauthorized")
    refused = http.post(path, json={"args": ["ST-001"]}, headers={"Authorization": "Bearer x"})
    check_problem(refused, 401, "unauthorized")
    assert refused.headers["www-authenticate"] == "Carbonnode"


def test_market_feed(http: TestClient[Litestar], node: Any, make_trade: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    assert http.get("/v1/market").json() == {
        "day": "2025-11-19", "state": "open", "halted": False, "sessions_ms": [[1, 2], [3, 4]], "books": ["CEA-2024"]
    }  # fmt: skip
    monkeypatch.setitem(node.answers, ("market",), (0, "closed", False, 0, 0, 0, 0))
    before = http.get("/v1/market").json()
    assert (before["day"], before["sessions_ms"]) == (None, [])
    assert http.get("/v1/market/CEA-2024").json()["upper_fen"] == 6815
    assert http.get("/v1/market/CEA-2024/depth").json()["asks"] == [{"price_fen": 6210, "quantity_t": 7}]
    check_problem(http.get("/v1/market/QQQ-2024"), 404, "not-found")
    check_problem(http.get("/v1/market/CEA-2024/depth", params={"levels": 6}), 400, "bad-request")
    closes = http.get("/v1/market/CEA-2024/closes", params={"first": "2025-11-17", "last": "2025-11-20"}).json()
    assert [(row["day"], row["close_fen"]) for row in closes] == [("2025-11-19", 2)]
    check_problem(http.get("/v1/market/CEA-2024/closes", params={"first": "2025-11-19", "last": "2020-01-01"}), 400, "bad-request")
    node.records += [make_trade(3, 6200), make_trade(4, 6210, "CEA-2023"), make_trade(5, 6220)]
    assert [t["price_fen"] for t in http.get("/v1/market/CEA-2024/trades").json()] == [6200, 6220]
    node.height = 9
    node.records.append(make_trade(9, 6230))
    assert [t["price_fen"] for t in http.get("/v1/market/CEA-2024/trades", params={"limit": 2}).json()] == [6220, 6230]


def test_event_page(http: TestClient[Litestar], node: Any, make_trade: Any) -> None:
    node.records += [make_trade(3, 6200), make_trade(5, 6220)]
    (record,) = http.get("/v1/events/page", params={"first": 4, "count": 2}).json()
    assert (record["height"], record["event"]["fields"]["price_fen"]) == (5, 6220)


def test_public_stream_from_a_height(http: TestClient[Litestar], node: Any, make_trade: Any) -> None:
    node.records += [make_trade(3, 6200), make_trade(5, 6220)]
    with http.websocket_connect("/v1/events?first_height=4") as stream:
        assert stream.receive_json()["type"] == "welcome"
        record = stream.receive_json()
        assert (record["type"], record["height"], record["event"]["name"]) == ("event", 5, "Trade")


def test_private_stream_needs_a_signed_hello_of_a_registered_entity(http: TestClient[Litestar], node: Any, owner: KeySigner, make_trade: Any) -> None:
    def hello(stream: Any, challenge: bytes | None = None) -> None:
        welcome = stream.receive_json()
        now = node.now_ms()
        message = hello_bytes(node.chain_id, owner.public_key, now, challenge or bytes.fromhex(welcome["challenge"]))
        signature = owner.sign(message).hex()
        stream.send_json({"type": "hello", "sender": owner.public_key.hex(), "time_ms": now, "signature": signature, "first_height": 0})

    with http.websocket_connect("/v1/events?hello=1") as stream:
        hello(stream)
        assert stream.receive_json()["problem"]["code"] == "forbidden"
    node.entities[owner.public_key] = "ST-001"
    with http.websocket_connect("/v1/events?hello=1") as stream:
        hello(stream, challenge=bytes(32))
        assert stream.receive_json()["problem"]["code"] == "unauthorized"
    node.records.append(make_trade(3, 6200))
    with http.websocket_connect("/v1/events?hello=1") as stream:
        hello(stream)
        assert stream.receive_json() == {"type": "ready", "entity": "ST-001"}
        assert stream.receive_json()["height"] == 3
    with http.websocket_connect("/v1/events?hello=1") as stream:
        stream.receive_json()
        stream.send_text("{}")
        assert stream.receive_json()["problem"]["code"] == "bad-request"


def test_other_hosts_are_refused(http: TestClient[Litestar]) -> None:
    check_problem(http.get("/v1/status", headers={"host": "evil.example:27001"}), 403, "forbidden")
    assert http.get("/v1/status", headers={"host": "localhost:27001"}).status_code == 200


def test_unknown_paths_methods_and_our_own_bugs(http: TestClient[Litestar], node: Any) -> None:
    check_problem(http.get("/v2/status"), 404, "not-found")
    check_problem(http.delete("/v1/status"), 405, "method-not-allowed")
    node.explode = True
    assert "secret" not in check_problem(http.get("/v1/status"), 500, "internal")


def test_openapi_is_3_1_and_names_every_route(http: TestClient[Litestar]) -> None:
    schema = http.get("/openapi.json").json()
    assert schema["openapi"].startswith("3.1")
    paths = set(schema["paths"])
    assert {"/v1/status", "/v1/blocks/{height}", "/v1/transactions", "/v1/transactions/batch", "/v1/transactions/{tx_id}/proof"} <= paths
    assert {"/v1/contracts/{name}/{view}", "/v1/market/{book}/depth", "/metrics", "/healthz", "/readyz"} <= paths
    operations = [operation for path in schema["paths"].values() for operation in path.values()]
    ids = [operation["operationId"] for operation in operations]
    assert len(set(ids)) == len(ids)
    assert all("application/problem+json" in operation["responses"]["default"]["content"] for operation in operations)
    assert all(operation.get("summary") and operation.get("description") for operation in operations)
    submit = schema["paths"]["/v1/transactions"]["post"]["requestBody"]["content"]
    assert set(submit) == {"application/json", "application/msgpack"}
    for reference in references(schema):
        assert reference.startswith("#/components/schemas/")
        assert reference.rsplit("/", 1)[1] in schema["components"]["schemas"]


def test_nothing_is_deleted_or_replaced_by_any_route(http: TestClient[Litestar]) -> None:
    """What is on the chain can only be read, or added to: no route has another method than GET and POST, and POST adds or asks."""
    paths = http.get("/openapi.json").json()["paths"]
    assert {method for path in paths.values() for method in path} == {"get", "post"}
    for path in paths:
        for method in ("DELETE", "PUT", "PATCH"):
            assert http.request(method, path.replace("{height}", "1")).status_code == 405, path
    posts = {path for path, methods in paths.items() if "post" in methods}
    assert posts == {"/v1/transactions", "/v1/transactions/batch", "/v1/transactions/estimate", "/v1/transactions/status", "/v1/contracts/{name}/{view}"}


def references(part: Any) -> Iterator[str]:
    if isinstance(part, dict):
        for key, value in part.items():
            if key == "$ref":
                yield value
            else:
                yield from references(value)
    elif isinstance(part, list):
        for value in part:
            yield from references(value)
