"""Routes about the node and its chain: status, genesis, blocks, health, metrics."""

from typing import Annotated

from litestar import MediaType, Response, get
from litestar.datastructures import State
from litestar.params import PathParameter, QueryParameter

from carbonnode.api.context import context_of
from carbonnode.api.schemas import BlockView, HealthView, StatusView, VotingSetView

MAX_BLOCKS = 100
Height = Annotated[int, QueryParameter(ge=0, le=1 << 53)]


@get("/v1/status", summary="The node at a glance", tags=["node"])
async def status(state: State) -> StatusView:
    """Heights, roots, consensus view, links, waiting transactions, and the parameters that a client needs to form a transaction."""
    return StatusView.of(await context_of(state).service.status())


@get("/v1/validators", summary="Who votes", tags=["node"])
async def validators(state: State) -> VotingSetView:
    """The voting set of the epoch in force, and the one that follows once its height is settled."""
    return VotingSetView.of(await context_of(state).service.validators())


@get("/v1/genesis", summary="The genesis file", tags=["node"])
async def genesis(state: State) -> Response[bytes]:
    """For tools; to verify proofs use the genesis file that the network's organiser gave you."""
    return Response(await context_of(state).service.genesis(), media_type=MediaType.JSON)


@get("/v1/blocks", summary="Certified blocks", tags=["blocks"])
async def blocks(state: State, first: Height = 0, count: Annotated[int, QueryParameter(ge=1, le=MAX_BLOCKS)] = 20) -> list[BlockView]:
    """Up to `count` certified blocks from height `first` upwards: headers, certificates and counts."""
    return [BlockView.of(block) for block in await context_of(state).service.blocks(first, count)]


@get("/v1/blocks/latest", summary="The last certified block", tags=["blocks"])
async def latest(state: State) -> BlockView:
    """Header, certificate and counts."""
    service = context_of(state).service
    return BlockView.of(await service.block((await service.status()).height))


@get("/v1/blocks/{height:int}", summary="A certified block", tags=["blocks"])
async def block(state: State, height: Annotated[int, PathParameter(ge=0, le=1 << 53)]) -> BlockView:
    """Header, certificate and counts."""
    return BlockView.of(await context_of(state).service.block(height))


@get("/healthz", summary="Liveness", tags=["probes"])
async def healthz(state: State) -> Response[HealthView]:
    """200 while the process works, else 503."""
    health = await context_of(state).service.health()
    return Response(HealthView.of(health.live, health), status_code=200 if health.live else 503)


@get("/readyz", summary="Readiness", tags=["probes"])
async def readyz(state: State) -> Response[HealthView]:
    """200 while the node serves and takes transactions, else 503 with the checks that fail."""
    health = await context_of(state).service.health()
    return Response(HealthView.of(health.ready, health), status_code=200 if health.ready else 503)


@get("/metrics", summary="Prometheus metrics", tags=["probes"], media_type=MediaType.TEXT)
async def metrics(state: State) -> Response[bytes]:
    """Text exposition format."""
    return Response(await context_of(state).service.metrics(), media_type="text/plain; version=0.0.4")


NODE_ROUTES = [status, validators, genesis, blocks, latest, block, healthz, readyz, metrics]
