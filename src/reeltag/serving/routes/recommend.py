"""`/v1/recommend`: a post in, ranked hashtags out."""

from __future__ import annotations

from contextlib import AsyncExitStack
from typing import Any

from fastapi import APIRouter, Depends, Request, Response
from fastapi.responses import JSONResponse

from reeltag.serving.auth import Caller, may
from reeltag.serving.clips import Tell
from reeltag.serving.routes.reading import described, json_of, said_and_clip, service_of
from reeltag.serving.schemas import BatchIn, RecommendIn
from reeltag.serving.stream import streamed

router = APIRouter(prefix="/v1/recommend", tags=["recommend"])
READ = Depends(may("read"))


@router.post("", openapi_extra=described(RecommendIn, form=True))
async def recommend(request: Request, caller: Caller = READ) -> Response:
    """Recommend hashtags for a clip, a caption, a user; each of them may be missing.

    With `Accept: text/event-stream`, events tell the stages, then the result.
    """
    service = service_of(request)
    _ = service.engine.base  # not ready yet: said before a clip is taken in
    async with AsyncExitStack() as stack:
        said, clip = await stack.enter_async_context(said_and_clip(request, RecommendIn))
        if "text/event-stream" not in request.headers.get("accept", ""):
            return JSONResponse(await service.recommend(caller.tenant, said, clip))
        held = stack.pop_all()  # the clip is kept until the stream ends

    async def work(tell: Tell) -> dict[str, Any]:
        async with held:
            return await service.recommend(caller.tenant, said, clip, tell)

    async def failed(fault: Exception) -> None:
        await request.app.state.note(request, fault)

    return streamed(work, failed)


@router.post("/batch", openapi_extra=described(BatchIn, form=False))
async def recommend_batch(request: Request, caller: Caller = READ) -> Response:
    """Recommend hashtags for many posts whose features, or captions, are given."""
    said = await json_of(request, BatchIn)
    answers = await service_of(request).recommend_all(caller.tenant, said.posts)
    return JSONResponse({"answers": answers})
