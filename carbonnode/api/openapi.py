"""OpenAPI 3.1: what Litestar derives, plus bodies that come as JSON or MessagePack, and the problem details that every operation may answer."""

from collections.abc import Mapping
from typing import Any

import msgspec

from carbonnode.api.problems import PROBLEM_JSON, Problem

_REF = "#/components/schemas/{name}"


class BodyDoc(msgspec.Struct, frozen=True):
    """The body of a POST: a type served as JSON or MessagePack; `raw` describes a MessagePack body that is plain bytes instead."""

    kind: type[Any]
    raw: str = ""


def complete(schema: dict[str, Any], bodies: Mapping[str, BodyDoc]) -> dict[str, Any]:
    """Litestar's schema with the request bodies (by path) and with problem details in place of Litestar's own error form."""
    kinds = [Problem, *[body.kind for body in bodies.values()]]
    _, definitions = msgspec.json.schema_components(kinds, ref_template=_REF)
    components = schema.setdefault("components", {})
    components.setdefault("schemas", {}).update(definitions)
    components["securitySchemes"] = {
        "signed": {
            "type": "apiKey",
            "in": "header",
            "name": "Authorization",
            "description": "Carbonnode <key hex>:<time ms>:<signature hex> over the request's domain-separated message (carbonnode/chain/request.py).",
        }
    }
    content = {PROBLEM_JSON: {"schema": {"$ref": _REF.format(name="Problem")}}}
    for path, operations in schema["paths"].items():
        for method, operation in operations.items():
            answers = operation["responses"]
            for status in [status for status in answers if status.startswith(("4", "5"))]:
                answers[status]["content"] = content
            answers["default"] = {"description": "Refused: problem details (RFC 9457) with a stable code", "content": content}
            if method == "post":
                operation["requestBody"] = _request_body(bodies[path])
    return schema


def _request_body(body: BodyDoc) -> dict[str, Any]:
    shape = {"$ref": _REF.format(name=body.kind.__name__)}
    raw = {"type": "string", "format": "binary", "description": body.raw}
    content = {"application/json": {"schema": shape}, "application/msgpack": {"schema": raw if body.raw else shape}}
    return {"required": True, "content": content}
