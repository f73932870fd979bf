"""`/v1/posts`: what was published in; a model that knows it, out."""

from __future__ import annotations

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse

from reeltag.serving.auth import Caller, may
from reeltag.serving.routes.reading import described, said_and_clip, service_of
from reeltag.serving.schemas import PostIn

router = APIRouter(prefix="/v1/posts", tags=["posts"])
WRITE = Depends(may("write"))


@router.post("", status_code=201, openapi_extra=described(PostIn, form=True))
async def publish(request: Request, caller: Caller = WRITE) -> Response:
    """Tell of a published post and of the hashtags it has: the next recommendation knows of it.

    What is answered is stored durably. A post that is stored already, and says the same, is
    answered with 200 and without a number; one that says something else, with 409.
    """
    service = service_of(request)
    _ = service.engine.base
    async with said_and_clip(request, PostIn) as (said, clip):
        told, new = await service.publish(caller.tenant, said, clip)
    return JSONResponse(told, 201 if new else 200)
