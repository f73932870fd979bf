"""A service killed at any moment loses no post that it acknowledged over HTTP."""

from __future__ import annotations

import random
import time
from contextlib import suppress
from pathlib import Path
from threading import Thread

import httpx
import polars as pl
import pytest

from reeltag.data.dataset import Dataset
from reeltag.data.splits import SplitRecipe, make_split
from reeltag.experiments.train import train_run
from reeltag.serving.store import Store
from tests.serving.process import begun, ended, ready, started

WRITERS = 4


@pytest.fixture(scope="module")
def light(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run that reads no features: there is little to load."""
    folder = tmp_path_factory.mktemp("light")
    posts = pl.DataFrame(
        {
            "post": [f"p{n}" for n in range(20)],
            "user": [f"u{n % 2}" for n in range(20)],
            "caption": ["a day"] * 20,
            "hashtags": [[f"t{n % 3}"] for n in range(20)],
        }
    )
    dataset = Dataset.create(folder / "data", posts, source={"format": "generated"})
    make_split(dataset, "main", SplitRecipe())
    train_run(dataset, "main", "user-history", {}, folder / "run")
    return folder / "run"


class Writer(Thread):
    """Publishes one post after another until nobody answers; `heard` are those acknowledged."""

    def __init__(self, address: str, kill: int, number: int) -> None:
        super().__init__()
        self.address, self.user, self.heard = address, f"w{number}", list[str]()
        self.name = f"{kill}-{number}"

    def run(self) -> None:
        """Write."""
        with httpx.Client(base_url=self.address, timeout=30) as client, suppress(httpx.HTTPError):
            while True:
                post = f"{self.name}-{len(self.heard)}"
                told = client.post("/v1/recommend", json={"user": self.user, "explain": False})
                assert told.status_code == 200
                said = {
                    "post": post,
                    "user": self.user,
                    "hashtags": [f"by{self.user}"],
                    "recommendation_id": told.json()["recommendation_id"],
                }
                if client.post("/v1/posts", json=said).status_code == 201:
                    self.heard.append(post)


def killed(run: Path, url: str, kill: int, moments: random.Random) -> list[str]:
    """Posts that a service acknowledged until it was killed: at work mostly, or while starting."""
    process = begun(run, "--store", url)
    writers: list[Writer] = []
    if moments.random() < 0.8:
        address = ready(process)
        writers = [Writer(address, kill, number) for number in range(WRITERS)]
        for writer in writers:
            writer.start()
        while not any(writer.heard for writer in writers):
            time.sleep(0.001)
        time.sleep(moments.uniform(0, 0.5))
    else:
        time.sleep(moments.uniform(0, 5))
    process.kill()
    assert ended(process) == -9
    for writer in writers:
        writer.join()
    return [post for writer in writers for post in writer.heard]


@pytest.mark.parametrize("kills", [3, pytest.param(50, marks=pytest.mark.long)])
def test_no_acknowledged_post_is_lost(light: Path, url: str, kills: int) -> None:
    moments = random.Random(kills)
    heard = [post for n in range(kills) for post in killed(light, url, n, moments)]
    assert len(heard) >= kills / 2
    assert len(set(heard)) == len(heard)
    store = Store.open(url)
    kept = {post.post: post for _, post in store.posts()}
    store.close()
    assert set(heard) <= set(kept)
    assert len(kept) - len(heard) <= WRITERS * kills  # what was about to be acknowledged
    process, address = started(light, "--store", url)
    try:
        with httpx.Client(base_url=address, timeout=30) as client:
            for user in {post.user for post in kept.values()}:
                count = sum(post.user == user for post in kept.values())
                assert client.get(f"/v1/users/{user}").json()["posts"] == count
                first = client.post("/v1/recommend", json={"user": user}).json()["hashtags"][0]
                assert first["hashtag"] == f"by{user}"
                (own,) = (r for r in first["reasons"] if r["kind"] == "history")
                assert (own["uses"], own["posts"]) == (count, count)
            for post in heard[:10]:
                said = {"post": post, "user": kept[post].user, "hashtags": kept[post].hashtags}
                again = client.post("/v1/posts", json={**said, "at": kept[post].at})
                assert again.status_code in (200, 409)  # it is there
            said = {"post": "new", "user": "w0", "hashtags": ["byw0"]}
            assert client.post("/v1/posts", json=said).status_code == 201
    finally:
        process.terminate()
        assert ended(process) == 0
