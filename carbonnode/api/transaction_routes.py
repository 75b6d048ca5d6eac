"""Routes for transactions: submit one or many, look them up, wait for them, fetch proofs."""

from collections.abc import Sequence
from typing import Annotated

import msgspec
from litestar import MediaType, Response, get, post
from litestar.datastructures import State
from litestar.params import FromPath, QueryParameter, RawBody

from carbonnode.api.context import JSON, MSGPACK, AnyRequest, answer, content_type, context_of, decode_body, parse_hash, unsupported
from carbonnode.api.openapi import BodyDoc
from carbonnode.api.problems import refused_submission
from carbonnode.api.schemas import (
    EstimateBody,
    EstimateView,
    StatusesBody,
    StatusesView,
    SubmitBatchBody,
    SubmitBatchView,
    SubmitBody,
    SubmitView,
    TransactionView,
)
from carbonnode.chain.arguments import bind_json, find_method
from carbonnode.chain.request import estimate_bytes
from carbonnode.chain.service import ANONYMOUS, REFUSED, ServiceRefusal
from carbonnode.chain.transaction import MAX_TX_BYTES, Call, check_calls

MAX_BATCH = 2_000
MAX_BATCH_BYTES = 8 * 1024 * 1024
MAX_WAIT_MS = 60_000
WaitMs = Annotated[int, QueryParameter(ge=0, le=MAX_WAIT_MS)]

_raw_batch: "msgspec.msgpack.Decoder[list[bytes]]" = msgspec.msgpack.Decoder(list[bytes])


@post(
    "/v1/transactions",
    summary="Submit a signed transaction",
    tags=["transactions"],
    status_code=202,
    request_max_body_size=2 * MAX_TX_BYTES + 1024,
)
async def submit(request: AnyRequest, state: State, body: RawBody) -> Response[SubmitView]:
    """`application/msgpack`: the transaction's bytes as they are. `application/json`: {"raw": hex}. Sent again, it is the same transaction."""
    raw = body if content_type(request) == MSGPACK else _unhex(decode_body(request, body, SubmitBody).raw)
    (result,) = await context_of(state).service.submit([raw])
    if result.status == REFUSED:
        raise refused_submission(result.code, result.message)
    return answer(request, SubmitView.of(result), 202)


@post(
    "/v1/transactions/batch",
    summary="Submit many signed transactions",
    tags=["transactions"],
    status_code=200,
    request_max_body_size=MAX_BATCH_BYTES,
)
async def submit_batch(request: AnyRequest, state: State, body: RawBody) -> Response[SubmitBatchView]:
    """One result each, in order; a refused one carries a code and doesn't harm the others."""
    raws = _batch_of(request, body)
    if len(raws) > MAX_BATCH:
        raise ServiceRefusal(f"a batch of {len(raws)} transactions exceeds {MAX_BATCH}: split it")
    results = await context_of(state).service.submit(raws)
    return answer(request, SubmitBatchView([SubmitView.of(result) for result in results]))


def _batch_of(request: AnyRequest, body: bytes) -> Sequence[bytes]:
    media = content_type(request)
    if media == JSON:
        return [_unhex(text) for text in decode_body(request, body, SubmitBatchBody).raw]
    if media != MSGPACK:
        raise unsupported(media)
    try:
        return _raw_batch.decode(body)
    except msgspec.DecodeError as error:
        raise ServiceRefusal(f"the body isn't a MessagePack array of byte strings: {error}") from None


def _unhex(text: str) -> bytes:
    try:
        return bytes.fromhex(text)
    except ValueError:
        raise ServiceRefusal("a transaction in JSON is a text of hex digits") from None


@post(
    "/v1/transactions/estimate",
    summary="Run calls dry, for the gas to declare",
    tags=["transactions"],
    status_code=200,
    request_max_body_size=2 * MAX_TX_BYTES + 1024,
)
async def estimate(request: AnyRequest, state: State, body: RawBody) -> Response[EstimateView]:
    """What the calls would come to on the last certified state, as the signer of this request, and the gas limit to declare. Nothing is changed.

    Only a signed request is answered: as the sender's own transaction it learns whether and with which code the contract refuses, and no values.
    """
    context = context_of(state)
    asked = decode_body(request, body, EstimateBody)
    if request.headers.get("authorization") is None:
        raise ServiceRefusal("a dry run needs the key that would sign: sign the request (carbonnode/chain/request.py, estimate_bytes)", code="unauthorized")
    calls = []
    for call in asked.calls:
        method = find_method(await context.abi(call.contract), call.method, "export")
        calls.append(Call(call.contract, call.method, bind_json(call.contract, method, call.args)))
    check_calls(calls)
    chain_id = context.service.chain_id
    sender = context.sender_of(request.headers.get("authorization"), lambda sender, time_ms: estimate_bytes(chain_id, sender, time_ms, calls))
    if sender == ANONYMOUS:
        raise ServiceRefusal("nobody can sign as this key: sign with your own", code="unauthorized")
    return answer(request, EstimateView.of(await context.service.estimate(calls, sender=sender)))


@post(
    "/v1/transactions/status",
    summary="Look up many transactions",
    tags=["transactions"],
    status_code=200,
    request_max_body_size=1024 * 1024,
)
async def statuses(request: AnyRequest, state: State, body: RawBody) -> Response[StatusesView]:
    """One status for each id, in order; with `wait_ms` (at most 60,000) the answer waits until all are settled, or that long."""
    asked = decode_body(request, body, StatusesBody)
    if len(asked.tx_ids) > MAX_BATCH or not 0 <= asked.wait_ms <= MAX_WAIT_MS:
        raise ServiceRefusal(f"at most {MAX_BATCH} ids, and a wait of 0 to {MAX_WAIT_MS} ms")
    tx_ids = [parse_hash(text, "transaction id") for text in asked.tx_ids]
    context = context_of(state)
    sender = context.reader_of(request, tx_ids)
    found = await context.service.transactions(tx_ids, wait_ms=asked.wait_ms, sender=sender)
    return answer(request, StatusesView([TransactionView.of(item) for item in found]))


@get("/v1/transactions/{tx_id:str}", summary="Look up a transaction", tags=["transactions"])
async def transaction(request: AnyRequest, state: State, tx_id: FromPath[str], wait_ms: WaitMs = 0) -> Response[TransactionView]:
    """Its status, and once final its outcome, returned values and the events that the asker may see (sign the request for private ones)."""
    ids = [parse_hash(tx_id, "transaction id")]
    context = context_of(state)
    sender = context.reader_of(request, ids)
    (found,) = await context.service.transactions(ids, wait_ms=wait_ms, sender=sender)
    return answer(request, TransactionView.of(found))


@get("/v1/transactions/{tx_id:str}/proof", summary="The proof file of a transaction", tags=["transactions"])
async def proof(state: State, tx_id: FromPath[str]) -> Response[bytes]:
    """One file that `carbonnode verify` checks offline with the genesis file: transaction, receipt, header, certificate, validator changes."""
    return Response(await context_of(state).service.proof(parse_hash(tx_id, "transaction id")), media_type=MediaType.JSON)


TRANSACTION_ROUTES = [submit, submit_batch, estimate, statuses, transaction, proof]
TRANSACTION_BODIES = {
    "/v1/transactions": BodyDoc(SubmitBody, "The signed transaction's bytes."),
    "/v1/transactions/batch": BodyDoc(SubmitBatchBody, "A MessagePack array of byte strings, each a signed transaction."),
    "/v1/transactions/estimate": BodyDoc(EstimateBody),
    "/v1/transactions/status": BodyDoc(StatusesBody),
}
