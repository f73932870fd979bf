"""A run and a store in; answers, and a model that learns of every published post, out."""

from __future__ import annotations

import time
from collections import OrderedDict, defaultdict
from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from functools import partial
from itertools import islice
from pathlib import Path
from threading import Thread
from typing import Any, TypeVar

import torch
from pydantic import BaseModel, ConfigDict, Field

from reeltag.errors import OverloadedError, RunError
from reeltag.features.single import Extracted
from reeltag.hashtags import strip
from reeltag.recommend import Answer, Question, Recommender
from reeltag.recommend.posts import Circumstances
from reeltag.recommend.recommender import Read
from reeltag.serving.queue import Ask, Intake, Notice
from reeltag.serving.records import DEFAULT, Asked, Ledger, Published, UserHistory
from reeltag.serving.telling import card_of, hashtags_like, history_of, users_like
from reeltag.serving.tenants import Tenant, is_erased

T = TypeVar("T")
_GLANCE = 0.1
"""Seconds between two looks at who waits for a tenant, and for too long."""


class EngineSettings(BaseModel):
    """What an engine may hold, and for how long."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    queue: int = Field(default=256, ge=1)
    """Requests accepted and not answered yet; more are refused at once."""
    deadline: float = Field(default=10.0, gt=0)
    """Seconds that a request may wait to be scored, where it does not say."""
    batch: int = Field(default=32, ge=1)
    """Requests that are scored together, at most."""
    tenants: int = Field(default=8, ge=1)
    """Tenants whose models are in memory; whoever is back after others was lately used least."""


class Engine:
    """Owns the model: recommends, observes, forgets and changes runs, without a lock.

    One thread (the engine's) answers requests in batches of whatever is waiting, and lets the
    models observe between two batches, so the two never overlap. A second one (the builder's)
    makes models beside the serving ones: of a new run, of a tenant who comes back, or without
    somebody's posts. The first swaps them in between two batches: requests that wait are then
    answered by the new one, and none is dropped.

    Every tenant has a recommender of its own, made of the run and of the tenant's posts in the
    store (`Tenant`), when first asked for; requests wait meanwhile.

    All that takes long is returned as a `concurrent.futures.Future`; `asyncio.wrap_future` makes
    it awaitable. Every method may be called from any thread.
    """

    def __init__(self, run: Path, store: Ledger, settings: EngineSettings | None = None) -> None:
        self.settings = settings or EngineSettings()
        self._path, self._store = Path(run), store
        self._intake = Intake(self.settings.queue)
        self._thread = Thread(target=self._work, name="engine", daemon=True)
        self._builder = ThreadPoolExecutor(1, thread_name_prefix="builder")
        self._base: Recommender | None = None
        self._previous: Path | None = None
        self._tenants: OrderedDict[str, Tenant] = OrderedDict()
        self._waiting: defaultdict[str, list[Ask]] = defaultdict(list)

    # From any thread

    def start(self) -> Future[None]:
        """Load the run and observe all posts of the store; done when `ready`.

        Fails with `RunError` where the run is absent or damaged; the engine is then never ready.
        """
        self._thread.start()
        return _promise(self._builder.submit, partial(self._serve, self._path))

    @property
    def ready(self) -> bool:
        """Whether requests are answered."""
        return self._base is not None

    @property
    def depth(self) -> int:
        """Requests accepted and not answered yet."""
        return self._intake.depth

    @property
    def base(self) -> Recommender:
        """The run as it was trained. Raises `OverloadedError` before it is loaded."""
        if self._base is None:
            raise OverloadedError("The run is being loaded.", 1)
        return self._base

    def stop(self) -> None:
        """Refuse new requests, answer those accepted, finish what is being built, and end."""
        self._intake.close()
        self._builder.shutdown()
        self._intake.end()
        if self._thread.ident is not None:
            self._thread.join()

    def recommend(self, asked: Asked, deadline: float | None = None) -> Future[Answer]:
        """The answer to a request, to be given within `deadline` seconds.

        Raises `OverloadedError` at once where too many wait, or before the engine is ready. The
        future fails with `DeadlineError` where it waited too long, `ConfigError` for an
        impossible k or profile, `MissingFeatureError` for features that are none of the run's.
        A future that is cancelled in time is not scored.
        """
        _ = self.base
        seconds = self.settings.deadline if deadline is None else deadline
        ask = Ask(asked, time.monotonic() + seconds)
        self._intake.put(ask)
        return ask.future

    def observe(self, number: int, post: Published) -> Future[None]:
        """Let the tenant's model know a post that the store has as `number`.

        Once the future is done, the very next request sees it. It is the store that is read: so
        posts are taken in by the order of their numbers, whatever the order of these calls. A
        model that cannot observe stays as it is (`Tenant`).
        """
        return _promise(self._intake.notify, partial(self._observe, post.tenant, number))

    def forget(self, tenant: str, user: str) -> Future[None]:
        """Let nothing rest on a user's posts; call it once the store has erased the user.

        The tenant's model is made anew from the run and from the posts that the store still has,
        beside the serving one. Of the run's own training posts of that user (of the tenant
        `default`) no history is left for anybody of that name, who is a stranger from then on,
        and no reason names them. What remains, until the run is trained again, is without a
        name: what these posts added to counts of hashtags and words, to weights that were
        trained, and as neighbours that are counted.
        """
        return _promise(self._builder.submit, partial(self._bring, tenant))

    def reload(self, run: Path) -> Future[None]:
        """Serve another run, without dropping a request; until it is ready, the old one serves.

        Fails with `RunError` where it is absent or damaged, and the old one goes on.
        """
        return _promise(self._builder.submit, partial(self._serve, Path(run)))

    def rollback(self) -> Future[None]:
        """Serve the run before this one, from its folder, which must still be there.

        Fails with `RunError` where there was none. Twice is there and back again.
        """
        return _promise(self._builder.submit, self._roll_back)

    def history_of_training(self, tenant: str, user: str) -> UserHistory:
        """What the run's training posts tell of a user: of who is erased or unknown, nothing."""
        base, stones = self.base, self._store.erased_hashes()
        if tenant != DEFAULT or is_erased(self._store, tenant, user, stones):
            return UserHistory(0, None, None, {})
        return history_of(base, user)

    def users_of_training(self, tenant: str, prefix: str, count: int) -> dict[str, int]:
        """The run's users whose ids begin so, with their training posts, the most active first.

        Of those who are erased, and for other tenants than `default`: none.
        """
        base, stones = self.base, self._store.erased_hashes()
        found = users_like(base, prefix) if tenant == DEFAULT else iter(())
        living = (each for each in found if not is_erased(self._store, tenant, each[0], stones))
        return dict(islice(living, count))

    def model_card(self) -> dict[str, Any]:
        """What is served (`card_of`)."""
        return card_of(self.base)

    def hashtags(self, prefix: str, count: int, tenant: str | None = None) -> list[tuple[str, int]]:
        """Hashtags that begin so, with their uses, the most used first.

        Of the run; of a tenant who is in memory, those that the tenant published too.
        """
        known = None if tenant is None else self._tenants.get(tenant)
        return hashtags_like(self.base if known is None else known.recommender, prefix, count)

    # On the engine's thread

    @torch.no_grad()
    def _work(self) -> None:
        most = self.settings.batch
        while (taken := self._intake.take(most, _GLANCE if self._waiting else None)) is not None:
            notices, asks = taken
            for notice in notices:
                notice()
            self._answer(asks)
            for name, theirs in self._waiting.items():
                self._waiting[name] = [ask for ask in theirs if not ask.late or ask.begin()]

    def _answer(self, asks: Sequence[Ask]) -> None:
        """Answer requests, those of each tenant together; let absent tenants' wait."""
        by_tenant: defaultdict[str, list[Ask]] = defaultdict(list)
        for ask in asks:
            by_tenant[ask.asked.tenant].append(ask)
        for name, theirs in by_tenant.items():
            if name in self._tenants:
                self._tenants.move_to_end(name)
                begun = [ask for ask in theirs if ask.begin()]
                for start in range(0, len(begun), self.settings.batch):
                    self._score(self._tenants[name], begun[start : start + self.settings.batch])
                continue
            if name not in self._waiting:
                self._builder.submit(self._fetch, name)
            self._waiting[name] += theirs

    def _score(self, tenant: Tenant, asks: Sequence[Ask]) -> None:
        began = time.perf_counter()
        reads: list[tuple[Ask, Read]] = []
        for ask in asks:
            try:
                reads.append((ask, tenant.recommender.read(_question(ask.asked))))
            except Exception as fault:
                ask.future.set_exception(fault)
        try:
            answers = tenant.respond([read for _, read in reads])
        except Exception as fault:
            if len(reads) == 1:
                reads[0][0].future.set_exception(fault)
                return
            for ask, _ in reads:  # one of them made it fail: it alone is to be told
                self._score(tenant, [ask])
            return
        self._intake.took(time.perf_counter() - began, len(asks))
        for (ask, _), answer in zip(reads, answers, strict=True):
            ask.future.set_result(answer)

    def _observe(self, name: str, number: int) -> None:
        tenant = self._tenants.get(name)
        if tenant is None or tenant.seen >= number:
            return  # whoever is not in memory will read it from the store
        try:
            tenant.catch_up(self._store)
        except BaseException:
            del self._tenants[name]  # half a post may be known: made anew when next asked for
            raise

    def _install(self, base: Recommender, tenants: Sequence[Tenant]) -> None:
        """Serve by `tenants`, made of `base`, from the next request on."""
        for tenant in tenants:
            tenant.catch_up(self._store)
        if base is not self._base:
            if self._base is not None and self._base.run.path != base.run.path:
                self._previous = self._base.run.path
            self._base = base
            self._tenants.clear()
        for tenant in tenants:
            self._tenants[tenant.name] = tenant
            self._tenants.move_to_end(tenant.name)
        while len(self._tenants) > max(self.settings.tenants, len(tenants)):
            self._tenants.popitem(last=False)
        for tenant in tenants:
            self._release(tenant.name)

    def _release(self, name: str) -> None:
        self._answer(self._waiting.pop(name, []))

    def _fail(self, name: str, fault: BaseException) -> None:
        for ask in self._waiting.pop(name, []):
            if ask.begin():
                ask.future.set_exception(fault)

    # On the builder's thread

    def _serve(self, path: Path) -> None:
        """Load a run and serve it, for the tenants in memory, or for `default`."""
        base = Recommender.load(path)
        _ = base.evidence
        names = list(self._tenants) or [DEFAULT]
        self._swap(base, [self._built(name, base) for name in names])

    def _roll_back(self) -> None:
        if self._previous is None:
            raise RunError("There is no run to go back to: this one is the first.")
        self._serve(self._previous)

    def _bring(self, name: str) -> None:
        """Make one tenant's recommender anew and serve by it."""
        self._swap(self.base, [self._built(name, self.base)])

    def _fetch(self, name: str) -> None:
        """`_bring` for whoever is waited for."""
        try:
            if name not in self._tenants:
                self._bring(name)
        except BaseException as fault:
            self._intake.notify(partial(self._fail, name, fault))
        else:
            self._intake.notify(partial(self._release, name))

    def _built(self, name: str, base: Recommender) -> Tenant:
        tenant = Tenant(name, base, self._store)
        with torch.no_grad():
            tenant.catch_up(self._store)
            tenant.warm()
        return tenant

    def _swap(self, base: Recommender, tenants: Sequence[Tenant]) -> None:
        _promise(self._intake.notify, partial(self._install, base, tenants)).result()


def _question(asked: Asked) -> Question:
    read = asked.extracted or Extracted(dict(asked.values or {}))
    about = Circumstances(
        int(time.time()) if asked.at is None else asked.at, asked.music, asked.place
    )
    return Question(
        asked.user,
        read,
        strip(asked.caption or ""),
        about,
        asked.k,
        asked.explain,
        asked.profile,
        asked.seconds,
    )


def _promise(run: Callable[[Notice], object], work: Callable[[], T]) -> Future[T]:
    """Have `run` do some work elsewhere; what comes of it. It can not be cancelled."""
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()

    def settle() -> None:
        try:
            result = work()
        except BaseException as fault:
            future.set_exception(fault)
        else:
            future.set_result(result)

    run(settle)
    return future
