"""What a caller asks in, checked; what engine, readers and store make of it, out."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from fastapi.concurrency import run_in_threadpool

from reeltag.data.batches import check_fits
from reeltag.errors import InputError, ReelTagError
from reeltag.features.single import Extracted
from reeltag.hashtags import find, normalise, strip
from reeltag.media.limits import Limits
from reeltag.recommend import Answer
from reeltag.serving.clips import Tell, readers
from reeltag.serving.engine import Engine
from reeltag.serving.faults import RefusedError
from reeltag.serving.metering import Meter
from reeltag.serving.pictures import strip_of
from reeltag.serving.records import Asked
from reeltag.serving.saving import Saving
from reeltag.serving.schemas import PostIn, RecommendIn, arrays, check_lengths
from reeltag.serving.settings import ServeSettings
from reeltag.serving.store import Published, Shown, Store, Values

CAPTIONS = 64
"""Captions that may wait to be read."""


def _untold(stage: str) -> None:
    """Nobody is told."""


@dataclass
class Service:
    """All that answers requests, together. Its coroutines belong to one event loop."""

    settings: ServeSettings
    engine: Engine
    store: Store
    meter: Meter = field(default_factory=Meter)

    def __post_init__(self) -> None:
        given = self.settings
        limits = Limits(wall_seconds=given.clip_seconds, max_file_mb=given.body_mb)
        self.clips, self.captions = readers(
            given.decoders, given.uploads, CAPTIONS, limits, given.deadline
        )
        self.saving = Saving(self.store, lambda: self.meter.refusal("store"))
        self.meter.watch("engine", lambda: self.engine.depth)
        self.meter.watch("clips", lambda: self.clips.depth)
        self.meter.watch("captions", lambda: self.captions.depth)

    async def close(self) -> None:
        """Finish what was accepted and end the decoders."""
        await self.saving.all_stored()
        await run_in_threadpool(self.clips.close)
        await run_in_threadpool(self.captions.close)

    async def warm(self) -> None:
        """Load the extractors once the run is there, so that no request waits for that."""
        while not self.engine.ready:
            await asyncio.sleep(0.1)
        with suppress(ReelTagError):  # whoever asks will be told
            await self._read(None, "warm", _untold)

    # Recommendations

    async def recommend(
        self, tenant: str, said: RecommendIn, clip: Path | None = None, tell: Tell = _untold
    ) -> dict[str, Any]:
        """The answer to one request, as clients read it; it is stored, for the post to come."""
        asked_at = time.monotonic()
        said, values = await self._resolved(tenant, said)
        caption = strip(said.caption or "")
        if values is None or clip is not None:
            read = await self._read(clip, caption, tell)
            read.values |= values or {}
        else:
            read = Extracted(dict(values))
        tell("score")
        spent = sum(read.timing_ms.values()) / 1000
        at = int(time.time()) if said.at is None else said.at
        asked = Asked(
            tenant, said.user, caption, None, said.music, said.place, at, said.k, said.explain,
            extracted=read, seconds=spent,
        )  # fmt: skip
        run = self.engine.base.run
        answer = await asyncio.wrap_future(self.engine.recommend(asked))
        self.meter.answer(answer.timing_ms)
        shown = Shown(
            uuid4().hex, tenant, said.user, at,
            [(tag.hashtag, tag.score) for tag in answer.hashtags],
            run.path.name, read.values, caption, said.music, said.place,
        )  # fmt: skip
        await self.saving.begin(shown, asked_at)
        film = await _film(said, read, answer)
        told = {"recommendation_id": shown.id, **answer.as_json(), "probable": run.model.probable}
        return told if film is None else {**told, "filmstrip": film}

    async def recommend_all(
        self, tenant: str, posts: Sequence[RecommendIn]
    ) -> list[dict[str, Any]]:
        """Answers to all, or the first fault of one."""
        tasks = [asyncio.create_task(self.recommend(tenant, said)) for said in posts]
        try:
            return await asyncio.gather(*tasks)
        finally:
            for task in tasks:
                task.cancel()

    async def _resolved(self, tenant: str, said: RecommendIn) -> tuple[RecommendIn, Values | None]:
        """The request with what is stored of the post it names, and the features it gives."""
        check_lengths(said, self.settings)
        if said.post is None:
            return said, None if said.values is None else self._checked(said.values)
        post = await run_in_threadpool(self.store.post, tenant, said.post)
        if post is None:
            raise RefusedError(404, "not_found", f"There is no post {said.post!r}.")
        said = _filled(said, post, "at")
        return said, post.values if said.values is None else self._checked(said.values)

    def _checked(self, given: Mapping[str, list[Any] | None]) -> Values:
        manifests = self.engine.base.run.manifests
        values = arrays(given, manifests)
        for name, value in values.items():
            if value is not None:
                check_fits(value, manifests[name])
        return values

    async def _read(self, clip: Path | None, caption: str, tell: Tell) -> Extracted:
        manifests = list(self.engine.base.run.manifests.values())
        reader = self.captions if clip is None else self.clips
        if clip is None and not any(manifest.source == "caption" for manifest in manifests):
            return Extracted({manifest.name: None for manifest in manifests})
        return await asyncio.wrap_future(reader.read(manifests, clip, caption or None, tell))

    # Posts

    async def publish(
        self, tenant: str, said: PostIn, clip: Path | None = None
    ) -> tuple[dict[str, Any], bool]:
        """Store a post, then let the model learn of it; what is told, and whether it was new."""
        check_lengths(said, self.settings)
        warnings: list[str] = []
        shown: Shown | None = None
        if said.recommendation_id is not None:
            await self.saving.stored(said.recommendation_id)
            shown = await run_in_threadpool(
                self.store.recommendation, tenant, said.recommendation_id
            )
            if shown is None:
                warnings.append(
                    f"recommendation {said.recommendation_id!r} is not known (any more): "
                    "the post is stored without what was read for it"
                )
        tags = [*find(said.caption or ""), *said.hashtags]
        if shown is not None:
            said = _filled(said, shown)
        caption = strip(said.caption or "")
        post = Published(
            tenant=tenant,
            post=said.post or uuid4().hex,
            user=said.user,
            at=int(time.time()) if said.at is None else said.at,
            caption=caption,
            hashtags=list(dict.fromkeys(map(_normal, tags))),
            values=await self._features(said, shown, caption, clip),
            music=said.music,
            place=said.place,
            recommendation=said.recommendation_id,
        )
        number = await run_in_threadpool(self.store.save_post, post)
        if number is not None:
            try:
                await asyncio.wrap_future(self.engine.observe(number, post))
            except ReelTagError as fault:  # it is stored, and will be learned of
                warnings.append(f"the post is stored, and the model learns of it later: {fault}")
        told = {"post": post.post, "user": post.user, "number": number, "warnings": warnings}
        return told, number is not None

    async def erase(self, tenant: str, user: str) -> int:
        """Erase a user from the store and the model; how many rows of the store that were."""
        await self.saving.forget(tenant, user)
        removed = await run_in_threadpool(self.store.erase_user, tenant, user)
        await asyncio.wrap_future(self.engine.forget(tenant, user))
        return removed

    async def _features(
        self, said: PostIn, shown: Shown | None, caption: str, clip: Path | None
    ) -> Values:
        """Features of a published post: given, read for its recommendation, or read now."""
        if said.values is not None:
            return self._checked(said.values)
        if clip is not None or shown is None or shown.values is None:
            return (await self._read(clip, caption, _untold)).values
        if caption == shown.caption:
            return shown.values
        again = (await self._read(None, caption, _untold)).values
        manifests = self.engine.base.run.manifests.values()
        written = {m.name: again[m.name] for m in manifests if m.source == "caption"}
        return {**shown.values, **written}


def _filled(said: Any, known: Published | Shown, *more: str) -> Any:
    """`said` with what it leaves out taken from what is known."""
    names = ("user", "caption", "music", "place", *more)
    left_out = [name for name in names if name not in said.model_fields_set]
    return said.model_copy(update={name: getattr(known, name) for name in left_out})


def _normal(tag: str) -> str:
    made = normalise(tag)
    if not made:
        raise InputError(f"Got hashtag {tag[:80]!r}, expected one with a character in it.")
    return made


async def _film(said: RecommendIn, read: Extracted, answer: Answer) -> list[dict[str, Any]] | None:
    if not said.filmstrip:
        return None
    return await run_in_threadpool(strip_of, read.frames, read.frame_times, answer.look)
