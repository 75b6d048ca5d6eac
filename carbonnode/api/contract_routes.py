"""Routes for contracts: names, interfaces, views."""

from litestar import Response, get, post
from litestar.datastructures import State
from litestar.params import FromPath, RawBody

from carbonnode.api.context import AnyRequest, ApiContext, answer, context_of, decode_body
from carbonnode.api.openapi import BodyDoc
from carbonnode.api.schemas import AbiView, ContractsView, QueryBody, QueryView
from carbonnode.chain.arguments import bind_json, bind_text, find_method
from carbonnode.chain.request import view_bytes
from carbonnode.chain.service import ServiceRefusal
from carbonnode.chain.values import Value

HEIGHT_KEY = "_height"
"""Query-string name for the height: no argument of a contract starts with an underscore."""


@get("/v1/contracts", summary="The installed contracts", tags=["contracts"])
async def contracts(state: State) -> ContractsView:
    """Names, sorted."""
    return ContractsView(list(await context_of(state).service.contracts()))


@get("/v1/contracts/{name:str}", summary="A contract's interface", tags=["contracts"])
async def abi(state: State, name: FromPath[str]) -> AbiView:
    """Methods with parameters and types."""
    return AbiView.of(await context_of(state).abi(name))


@get("/v1/contracts/{name:str}/{view:str}", summary="Query a view by URL", tags=["contracts"])
async def query_by_url(request: AnyRequest, state: State, name: FromPath[str], view: FromPath[str]) -> Response[QueryView]:
    """Arguments as query parameters in the types of the interface (bytes as 0x..., tuples as JSON lists); `_height` asks at a certified height."""
    context = context_of(state)
    pairs = list(request.query_params.multi_items())
    named = dict(pairs)
    if len(named) != len(pairs):
        raise ServiceRefusal("a query parameter is given twice: give each argument once")
    at = named.pop(HEIGHT_KEY, None)
    if at is not None and not (at.isdecimal() and len(at) <= 15):
        raise ServiceRefusal(f"{HEIGHT_KEY} is a height such as 42, not {at[:40]!r}")
    args = bind_text(name, find_method(await context.abi(name), view, "view"), named)
    return await _query(context, request, name, view, args, None if at is None else int(at))


@post(
    "/v1/contracts/{name:str}/{view:str}",
    summary="Query a view",
    tags=["contracts"],
    status_code=200,
    request_max_body_size=1024 * 1024,
)
async def query(request: AnyRequest, state: State, name: FromPath[str], view: FromPath[str], body: RawBody) -> Response[QueryView]:
    """Arguments by name or by place. Private views need a signed request: the asker is then `ctx.sender`."""
    context = context_of(state)
    asked = decode_body(request, body, QueryBody)
    if asked.height is not None and not 0 <= asked.height < 1 << 53:
        raise ServiceRefusal("height is a certified height of at least 0")
    args = bind_json(name, find_method(await context.abi(name), view, "view"), asked.args)
    return await _query(context, request, name, view, args, asked.height)


async def _query(context: ApiContext, request: AnyRequest, name: str, view: str, args: tuple[Value, ...], height: int | None) -> Response[QueryView]:
    chain_id = context.service.chain_id

    def message(sender: bytes, time_ms: int) -> bytes:
        return view_bytes(chain_id, sender, time_ms, name, view, args, height)

    sender = context.sender_of(request.headers.get("authorization"), message)
    return answer(request, QueryView.of(await context.service.query(name, view, args, sender=sender, height=height)))


CONTRACT_ROUTES = [contracts, abi, query_by_url, query]
CONTRACT_BODIES = {"/v1/contracts/{name}/{view}": BodyDoc(QueryBody)}
