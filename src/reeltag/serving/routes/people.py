"""`/v1/users`: who publishes, what is known of them, and that it is known no more."""

from __future__ import annotations

import asyncio
from collections import Counter
from typing import Any

from fastapi import APIRouter, Depends, Request
from fastapi.concurrency import run_in_threadpool

from reeltag.serving.auth import Caller, may
from reeltag.serving.faults import RefusedError
from reeltag.serving.routes.reading import Count, Prefix, checked, service_of

router = APIRouter(prefix="/v1/users", tags=["users"])
READ, WRITE = Depends(may("read")), Depends(may("write"))


@router.get("")
async def users(
    request: Request, prefix: Prefix = "", n: Count = 12, caller: Caller = READ
) -> dict[str, Any]:
    """Users whose ids begin so, those with the most posts first."""
    service, tenant = service_of(request), caller.tenant
    trained, stored = await asyncio.gather(
        run_in_threadpool(service.engine.users_of_training, tenant, prefix, n),
        run_in_threadpool(service.store.users, tenant, prefix, n),
    )
    found = Counter(trained) + Counter(stored)
    return {"users": [{"user": user, "posts": posts} for user, posts in found.most_common(n)]}


@router.get("/{user:path}")
async def user(request: Request, user: str, caller: Caller = READ) -> dict[str, Any]:
    """What is known of a user: posts that were published, and those of the run's training.

    `first` and `last` are of those published here, in seconds since 1970.
    """
    service, tenant = service_of(request), caller.tenant
    checked("user", user)
    stored, trained = await asyncio.gather(
        run_in_threadpool(service.store.user, tenant, user),
        run_in_threadpool(service.engine.history_of_training, tenant, user),
    )
    posts = stored.posts + trained.posts
    if not posts:
        raise RefusedError(404, "not_found", f"Nothing is known of the user {user!r}.")
    uses = Counter(trained.hashtags) + Counter(stored.hashtags)
    return {
        "user": user,
        "posts": posts,
        "first": stored.first,
        "last": stored.last,
        "hashtags": [{"hashtag": tag, "uses": number} for tag, number in uses.most_common()],
    }


@router.delete("/{user:path}")
async def erase(request: Request, user: str, caller: Caller = WRITE) -> dict[str, Any]:
    """Erase a user: posts, features, recommendations and failures; what was trained, by name.

    Once it is answered, nothing that is recommended rests on that user's posts by name.
    """
    service = service_of(request)
    _ = service.engine.base
    checked("user", user)
    return {"user": user, "erased": await service.erase(caller.tenant, user)}
