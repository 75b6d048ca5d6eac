"""The Litestar application over a `NodeService`."""

from collections.abc import Iterable

import msgspec
from litestar import Litestar, Response, get
from litestar.datastructures import State
from litestar.enums import ScopeType
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.types import ASGIApp, Receive, Scope, Send

from carbonnode import __version__
from carbonnode.api.context import ApiContext
from carbonnode.api.contract_routes import CONTRACT_BODIES, CONTRACT_ROUTES
from carbonnode.api.event_routes import EVENT_ROUTES, Streams
from carbonnode.api.market_routes import MARKET_ROUTES
from carbonnode.api.node_routes import NODE_ROUTES
from carbonnode.api.openapi import complete
from carbonnode.api.ports import NodeService
from carbonnode.api.problems import PROBLEM_JSON, problem, respond
from carbonnode.api.transaction_routes import TRANSACTION_BODIES, TRANSACTION_ROUTES

MAX_BODY_BYTES = 64 * 1024
LOOPBACK_HOSTS = frozenset(("127.0.0.1", "localhost", "::1"))


def loopback_only(app: ASGIApp) -> ASGIApp:
    """Refuse requests whose Host isn't this machine: a web page that rebinds its name to 127.0.0.1 gets nothing (DNS rebinding)."""

    async def checked(scope: Scope, receive: Receive, send: Send) -> None:
        if host_of(scope["headers"]) in LOOPBACK_HOSTS:
            await app(scope, receive, send)
            return
        details = problem(403, "forbidden", "this node answers on the loopback interface only: ask for http://127.0.0.1:<port>")
        if scope["type"] == ScopeType.HTTP:
            headers = [(b"content-type", PROBLEM_JSON.encode())]
            await send({"type": "http.response.start", "status": 403, "headers": headers})
            await send({"type": "http.response.body", "body": msgspec.json.encode(details), "more_body": False})
        else:
            await send({"type": "websocket.close", "code": 1008, "reason": details.detail})

    return checked


def host_of(headers: Iterable[tuple[bytes, bytes]]) -> str:
    """The name in the Host header without its port, lower case; "" without one."""
    for name, value in headers:
        if name == b"host":
            host = value.decode("latin-1").lower()
            return host[1 : host.find("]")] if host.startswith("[") else host.partition(":")[0]
    return ""


@get("/openapi.json", include_in_schema=False)
async def openapi_json(state: State) -> Response[bytes]:
    """OpenAPI 3.1."""
    return Response(state.openapi, media_type="application/vnd.oai.openapi+json;version=3.1")


def create_app(service: NodeService) -> Litestar:
    """The application; it holds no other state than caches."""
    app = Litestar(
        route_handlers=[*NODE_ROUTES, *TRANSACTION_ROUTES, *CONTRACT_ROUTES, *MARKET_ROUTES, *EVENT_ROUTES, openapi_json],
        state=State({"context": ApiContext(service), "streams": Streams()}),
        exception_handlers={Exception: respond},
        middleware=[loopback_only],
        request_max_body_size=MAX_BODY_BYTES,
        openapi_config=OpenAPIConfig(
            title="carbonnode", version=__version__, use_handler_docstrings=True, path="/_schema", render_plugins=[JsonRenderPlugin()]
        ),
        logging_config=None,
        debug=False,
    )
    app.state.openapi = msgspec.json.encode(complete(app.openapi_schema.to_schema(), {**TRANSACTION_BODIES, **CONTRACT_BODIES}))
    return app
