"""Settings, an engine and a store in; the ASGI application out."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, MutableMapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from fastapi import FastAPI, Request, Response
from fastapi.concurrency import run_in_threadpool
from fastapi.exceptions import RequestValidationError
from fastapi.responses import FileResponse, RedirectResponse
from pydantic import ValidationError
from starlette.exceptions import HTTPException

import reeltag
from reeltag.errors import ReelTagError
from reeltag.serving.auth import Doors
from reeltag.serving.body import Body
from reeltag.serving.engine import Engine
from reeltag.serving.faults import answer_of, told
from reeltag.serving.records import DEFAULT
from reeltag.serving.routes import about, admin, people, posts, recommend
from reeltag.serving.schemas import ErrorOut
from reeltag.serving.service import Service
from reeltag.serving.settings import ServeSettings
from reeltag.serving.shell import Shell
from reeltag.serving.store import Store
from reeltag.serving.uploads import Uploads

LOG = logging.getLogger("reeltag.serving")
PAGE = Path(__file__).parent / "page"
_STAGES = {"clip": "decode", "deadline": "queue", "store": "store", "internal": "service"}
"""Kinds of faults that the dashboard shows, and the stage at which each is made."""
_DAY = 86_400


def create_app(settings: ServeSettings, engine: Engine, store: Store) -> FastAPI:
    """The service over an engine, which the caller starts and stops, and a store."""
    service = Service(settings, engine, store)
    uploads = Uploads(settings.uploads_folder, settings.uploads, 8 * settings.caption_chars)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        tasks = [
            asyncio.create_task(_prune(store, settings.keep_days)),
            asyncio.create_task(service.warm()),
        ]
        yield
        for task in tasks:
            task.cancel()
        await service.close()
        uploads.close()

    app = FastAPI(
        title="ReelTag",
        version=reeltag.__version__,
        description="Hashtags for micro-videos, for the person who posts them.",
        docs_url=None,  # its page loads scripts from elsewhere
        redoc_url=None,
        lifespan=lifespan,
        responses={"4XX": {"model": ErrorOut}, "5XX": {"model": ErrorOut}},
    )
    app.state.service, app.state.uploads = service, uploads
    app.state.doors, app.state.note = Doors(store, settings), _note
    app.add_middleware(Body, settings=settings)
    app.add_middleware(Shell, meter=service.meter, fail=_fail)
    for error in (ReelTagError, RequestValidationError, ValidationError, HTTPException):
        app.add_exception_handler(error, _refuse)
    for routes in (recommend, posts, people, about, admin):
        app.include_router(routes.router)
    _add_page(app)
    return app


def _add_page(app: FastAPI) -> None:
    """The page, the dashboard and what they load: all files are known by name."""
    addresses = {"/": "index.html", "/dashboard": "dashboard.html"}
    for name in ("page.css", "common.js", "page.js", "dashboard.js"):
        addresses[f"/page/{name}"] = name
    for address, name in addresses.items():
        app.add_route(address, _sends(PAGE / name), include_in_schema=False)

    @app.get("/favicon.ico", include_in_schema=False)
    async def icon() -> Response:
        return Response(status_code=204)  # there is none, and browsers ask

    @app.get("/docs", include_in_schema=False)
    async def docs() -> Response:
        return RedirectResponse("/openapi.json")


def _sends(file: Path) -> Callable[[Request], Awaitable[Response]]:
    async def send(_: Request) -> Response:
        return FileResponse(file, headers={"Cache-Control": "no-cache"})

    return send


async def _refuse(request: Request, fault: Exception) -> Response:
    await _note(request, fault)
    return answer_of(fault)


async def _fail(scope: MutableMapping[str, Any], fault: Exception) -> Response:
    LOG.error("%s %s failed", scope["method"], scope["path"], exc_info=fault)
    return await _refuse(Request(scope), fault)


async def _note(request: Request, fault: Exception) -> None:
    """Count a fault; those that an operator must see go to the store, too."""
    _, kind, message, _ = told(fault)
    service: Service = request.app.state.service
    service.meter.refusal(kind)
    if kind not in _STAGES:
        return
    tenant = getattr(request.state, "tenant", DEFAULT)
    reason = type(fault).__name__ if kind == "internal" else message
    with contextlib.suppress(ReelTagError):  # of a store that fails, no more can be said
        await run_in_threadpool(
            service.store.save_failure, tenant, int(time.time()), _STAGES[kind], reason
        )


async def _prune(store: Store, days: int) -> None:
    """Take what is older out of the store, once a day."""
    while True:
        with contextlib.suppress(ReelTagError):
            await run_in_threadpool(store.prune, int(time.time()) - days * _DAY)
        await asyncio.sleep(_DAY)
