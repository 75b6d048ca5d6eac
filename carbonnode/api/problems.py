"""Errors as RFC 9457 problem details with a stable `code`."""

from http import HTTPStatus
from typing import Any

import msgspec
from litestar import MediaType, Request, Response
from litestar.exceptions import HTTPException

from carbonnode.chain.service import REFUSALS, ServiceRefusal
from carbonnode.errors import CarbonnodeError, ContractError, InvalidBlock, InvalidTransaction

PROBLEM_JSON = "application/problem+json"

_HTTP_CODES = {
    400: "bad-request",
    401: "unauthorized",
    403: "forbidden",
    404: "not-found",
    405: "method-not-allowed",
    413: "too-large",
    415: "unsupported-media-type",
    429: "busy",
}
_SUBMISSION = {"mempool-full": 503, "quota": 429, "not-ready": 503, "disk-full": 503}
"""Refusals of a submitted transaction that aren't the sender's fault: try again later."""


class Problem(msgspec.Struct, frozen=True):
    """RFC 9457: `type` is a URN per code, `detail` says what happened, to which thing, and what to do; `code` is stable."""

    type: str
    title: str
    status: int
    detail: str
    code: str


def problem(status: int, code: str, detail: str) -> Problem:
    """The problem details of a refusal."""
    return Problem(f"urn:carbonnode:problem:{code}", HTTPStatus(status).phrase, status, detail, code)


def refused_submission(code: str, message: str) -> HTTPException:
    """A refused transaction as an HTTP error: 503 or 429 where trying again later helps, else 400."""
    return HTTPException(status_code=_SUBMISSION.get(code, 400), detail=message, extra={"code": code})


def describe(error: Exception) -> Problem:
    """The problem that an exception becomes. What isn't foreseen says nothing about the inside."""
    if isinstance(error, ServiceRefusal):
        return problem(REFUSALS.get(error.code, 400), error.code, str(error))
    if isinstance(error, InvalidTransaction | InvalidBlock):
        return problem(400, error.code, str(error))
    if isinstance(error, ContractError):
        return problem(422, error.code, str(error))
    if isinstance(error, HTTPException):
        extra = error.extra if isinstance(error.extra, dict) else {}
        detail = error.detail
        if isinstance(error.extra, list) and error.extra:
            detail += ": " + "; ".join(_validation(item) for item in error.extra)
        return problem(error.status_code, str(extra.get("code", _HTTP_CODES.get(error.status_code, "error"))), detail)
    if isinstance(error, CarbonnodeError):
        return problem(500, error.code, str(error))
    return problem(500, "internal", "the node met an error that it didn't foresee: its log holds the details; report it to the operator")


def _validation(item: Any) -> str:
    if isinstance(item, dict):
        return f"{item.get('key', '')}: {item.get('message', '')}".strip(": ")
    return str(item)


def respond(_: Request[Any, Any, Any], error: Exception) -> Response[Any]:
    """Litestar's exception handler for every error."""
    details = describe(error)
    headers = {"Retry-After": "1"} if details.status in (429, 503) else {}
    if details.status == 401:
        headers["WWW-Authenticate"] = "Carbonnode"
    return Response(msgspec.json.encode(details), status_code=details.status, media_type=PROBLEM_JSON, headers=headers)


__all__ = ["PROBLEM_JSON", "MediaType", "Problem", "describe", "problem", "refused_submission", "respond"]
