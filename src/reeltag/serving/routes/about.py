"""What the service tells of itself: hashtags, figures, the model, its health."""

from __future__ import annotations

import time
from typing import Any

from fastapi import APIRouter, Depends, Query, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.responses import JSONResponse, PlainTextResponse
from prometheus_client import CONTENT_TYPE_LATEST

from reeltag.errors import OverloadedError
from reeltag.serving.auth import Caller, may
from reeltag.serving.routes.reading import Count, Prefix, service_of

router = APIRouter(tags=["about"])
READ, ADMIN = Depends(may("read")), Depends(may("admin"))
_DAY = 86_400
_UNKNOWN = {"p50": None, "p95": None, "p99": None}


@router.get("/v1/hashtags")
async def hashtags(
    request: Request, prefix: Prefix = "", n: Count = 12, caller: Caller = READ
) -> dict[str, Any]:
    """Hashtags that begin so, the most used first."""
    engine = service_of(request).engine
    found = await run_in_threadpool(engine.hashtags, prefix, n, caller.tenant)
    return {"hashtags": [{"hashtag": tag, "uses": uses} for tag, uses in found]}


@router.get("/v1/stats")
async def stats(
    request: Request, minutes: int = Query(60, ge=1, le=10_080), caller: Caller = READ
) -> dict[str, Any]:
    """What happened of late: the caller's own; latencies are of all that the service answered."""
    service, now = service_of(request), int(time.time())
    since = now - 60 * minutes
    found = await run_in_threadpool(service.store.stats, since, caller.tenant)
    latencies = service.meter.latencies(since)
    counts, last = dict(found.minutes), now // 60
    return {
        "recommendations": found.recommendations,
        "posts": found.posts,
        "minutes": [counts.get(60 * (last - ago), 0) for ago in reversed(range(minutes))],
        "latency_ms": latencies.get("total", _UNKNOWN),
        "stages_ms": {name: told for name, told in latencies.items() if name != "total"},
        "judged": found.judged,
        "acceptance": {str(k): share for k, share in found.accepted.items()},
        "trending": [
            {"hashtag": trend.hashtag, "now": trend.uses, "before": trend.before}
            for trend in found.trending
        ],
        "failures": [
            {"at": failure.at, "stage": failure.stage, "reason": failure.reason}
            for failure in found.failures
        ],
    }


@router.get("/v1/model")
async def model(request: Request, caller: Caller = READ) -> Response:
    """The card of the run that is served."""
    return JSONResponse(service_of(request).engine.model_card())


@router.get("/health/live")
async def live() -> dict[str, str]:
    """Whether the process answers."""
    return {"status": "live"}


@router.get("/health/ready")
async def ready(request: Request) -> dict[str, str]:
    """Whether requests are answered; 503 before that."""
    if not service_of(request).engine.ready:
        raise OverloadedError("The run is being loaded.", 1)
    return {"status": "ready"}


@router.get("/metrics", response_class=PlainTextResponse)
async def metrics(request: Request, caller: Caller = ADMIN) -> Response:
    """Figures for Prometheus, of all tenants together."""
    service = service_of(request)
    found = await run_in_threadpool(service.store.stats, int(time.time()) - _DAY)
    service.meter.accepted(found.accepted)
    return Response(service.meter.text(), media_type=CONTENT_TYPE_LATEST)
