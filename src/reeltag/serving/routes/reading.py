"""A request in; what it says, and the clip it brings, out."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated, Any, TypeVar

from fastapi import Query, Request
from pydantic import BaseModel

from reeltag.errors import InputError
from reeltag.serving.faults import RefusedError
from reeltag.serving.schemas import PostIn, RecommendIn, of_form
from reeltag.serving.service import Service
from reeltag.serving.store import check_text
from reeltag.serving.uploads import Uploads

Said = TypeVar("Said", RecommendIn, PostIn)
Body = TypeVar("Body", bound=BaseModel)
Prefix = Annotated[str, Query(max_length=256)]
"""How names begin that are asked for ..."""
Count = Annotated[int, Query(ge=1, le=1000)]
"""... and how many of them."""


def service_of(request: Request) -> Service:
    """The service that a request is for."""
    service: Service = request.app.state.service
    return service


@asynccontextmanager
async def said_and_clip(
    request: Request, kind: type[Said]
) -> AsyncIterator[tuple[Said, Path | None]]:
    """What JSON or a form says, and the path of its clip, which is removed in the end."""
    content = request.headers.get("content-type", "")
    if not content.startswith("multipart/"):
        yield await json_of(request, kind), None
        return
    uploads: Uploads = request.app.state.uploads
    async with uploads.read(content, request.stream()) as form:
        yield of_form(kind, form.fields), form.clip


async def json_of(request: Request, kind: type[Body]) -> Body:
    """A body in JSON. Raises `RefusedError` 415 for another type, pydantic's for what it says."""
    content = request.headers.get("content-type", "")
    if content.partition(";")[0].strip().lower() != "application/json":
        raise RefusedError(
            415,
            "unsupported_media_type",
            f"Got Content-Type {content[:80]!r}, expected application/json or multipart/form-data.",
        )
    return kind.model_validate_json(await request.body())


def described(kind: type[BaseModel], *, form: bool) -> dict[str, Any]:
    """The request's body, for the OpenAPI document."""
    schema = _flat(kind.model_json_schema())
    content: dict[str, Any] = {"application/json": {"schema": schema}}
    if form:
        properties = {**schema["properties"], "clip": {"type": "string", "format": "binary"}}
        del properties["values"]
        content["multipart/form-data"] = {"schema": {**schema, "properties": properties}}
    return {"requestBody": {"required": True, "content": content}}


def _flat(schema: dict[str, Any]) -> dict[str, Any]:
    """A schema with its parts in their places: there is one level of them."""
    parts = schema.pop("$defs", {})
    for held in schema["properties"].values():
        name = held.get("items", {}).get("$ref", "").rpartition("/")[2]
        if name in parts:
            held["items"] = parts[name]
    return schema


def checked(name: str, text: str) -> str:
    """A part of an address. Raises `InputError` where nothing stored can be of that name."""
    if not text:
        raise InputError(f"Got no {name}, expected one.")
    check_text(f"a {name}", text, 256)
    return text
