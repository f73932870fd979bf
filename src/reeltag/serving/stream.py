"""Work that tells its stages in; server-sent events out.

Events: `stage` {"stage"}, then one `result` or `error`; a comment line keeps a quiet connection
open, and finds out whether anybody still listens.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from fastapi.responses import StreamingResponse

from reeltag.serving.clips import Tell
from reeltag.serving.faults import told

QUIET = 3.0
"""Seconds without an event until a comment is sent."""
Work = Callable[[Tell], Awaitable[dict[str, Any]]]
Failed = Callable[[Exception], Awaitable[None]]


def streamed(work: Work, failed: Failed) -> StreamingResponse:
    """The answer that does `work` while it streams; `failed` is told of a fault, too."""
    task, stages = _begun(work)
    events = _events(task, stages, failed)
    return StreamingResponse(
        events, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"}
    )


def _begun(work: Work) -> tuple[asyncio.Task[dict[str, Any]], asyncio.Queue[str | None]]:
    """The work, under way, and the stages it tells; None is the last."""
    loop, stages = asyncio.get_running_loop(), asyncio.Queue[str | None]()

    def tell(stage: str) -> None:  # from any thread
        loop.call_soon_threadsafe(stages.put_nowait, stage)

    async def done() -> dict[str, Any]:
        try:
            return await work(tell)
        finally:
            loop.call_soon(stages.put_nowait, None)

    return asyncio.create_task(done()), stages


async def _events(
    task: asyncio.Task[dict[str, Any]], stages: asyncio.Queue[str | None], failed: Failed
) -> AsyncIterator[str]:
    try:
        yield _event("stage", {"stage": "received"})
        while True:
            try:
                stage = await asyncio.wait_for(stages.get(), QUIET)
            except TimeoutError:
                yield ": still at it\n\n"
                continue
            if stage is None:
                break
            yield _event("stage", {"stage": stage})
        try:
            yield _event("result", await task)
        except Exception as fault:
            await failed(fault)
            _, kind, message, _ = told(fault)
            yield _event("error", {"error": {"kind": kind, "message": message}})
    finally:
        task.cancel()  # nobody listens any more, or it is done


def _event(kind: str, value: dict[str, Any]) -> str:
    data = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return f"event: {kind}\ndata: {data}\n\n"
