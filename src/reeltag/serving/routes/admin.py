"""`/v1/admin`: another run, without a pause."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

from fastapi import APIRouter, Depends, Request

from reeltag.serving.auth import Caller, may
from reeltag.serving.routes.reading import described, json_of, service_of
from reeltag.serving.schemas import ReloadIn

router = APIRouter(prefix="/v1/admin", tags=["admin"])
ADMIN = Depends(may("admin"))


@router.post("/reload", openapi_extra=described(ReloadIn, form=False))
async def reload(request: Request, caller: Caller = ADMIN) -> dict[str, Any]:
    """Serve another run: the old one serves until it is ready, and no request is dropped."""
    said = await json_of(request, ReloadIn)
    engine = service_of(request).engine
    _ = engine.base
    await asyncio.wrap_future(engine.reload(Path(said.run)))
    return {"run": engine.model_card()["run"]}


@router.post("/rollback")
async def rollback(request: Request, caller: Caller = ADMIN) -> dict[str, Any]:
    """Serve the run before this one."""
    engine = service_of(request).engine
    _ = engine.base
    await asyncio.wrap_future(engine.rollback())
    return {"run": engine.model_card()["run"]}
