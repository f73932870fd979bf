"""The service over HTTP: what is asked, published, erased and refused."""

from __future__ import annotations

import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

from reeltag.experiments.train import train_run
from tests.media.clips import write_clip
from tests.recommend.filmed import filmed
from tests.serving.served import Served, events, served

CAPTIONS = ["harbour at night", "cooking noodles", "a striker scores", "kitchen light"]


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A run that reads clips and captions, and observes."""
    folder = tmp_path_factory.mktemp("filmed")
    captions = [CAPTIONS[n % 4] for n in range(24)]
    with filmed(folder, captions, acoustic=["logmel"], textual=["sif"]) as dataset:
        settings = {"rounds": 5, "least_rows": 3, "candidates": 6}
        train_run(dataset, "main", "reeltag", settings, folder / "run")
        train_run(dataset, "main", "user-history", {}, folder / "other")
        yield folder / "run"


@pytest.fixture
def other(run: Path) -> Path:
    """A run of another model."""
    return run.parent / "other"


@pytest.fixture(scope="module")
def service(run: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    with served(run, tmp_path_factory.mktemp("served"), body_mb=2, json_mb=1) as made:
        yield made


@pytest.fixture(scope="module")
def either(
    run: Path, new_url: Callable[[], str], tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Served]:
    """A service on SQLite, then one on PostgreSQL: for what rests on the store."""
    with served(run, tmp_path_factory.mktemp("either"), store=new_url()) as made:
        yield made


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "clip.mp4", frames=25, noise=7)


def refused(answer: httpx.Response, status: int, kind: str) -> str:
    """The message of a refusal, which must be in the one form."""
    assert answer.status_code == status, answer.text
    assert set(answer.json()) == {"error"}
    error = answer.json()["error"]
    assert set(error) == {"kind", "message"}
    assert error["kind"] == kind
    assert error["message"]
    return str(error["message"])


def test_a_caption_is_answered(service: Served) -> None:
    told = service.recommend(caption="cooking noodles", user="u1", k=3)
    assert [tag["rank"] for tag in told["hashtags"]] == [1, 2, 3]
    assert told["known_user"]
    assert told["probable"]
    assert all(tag["reasons"] for tag in told["hashtags"])
    assert set(told["timing_ms"]) == {"decode", "features", "score", "total"}
    assert "filmstrip" not in told
    bare = service.recommend(caption="cooking noodles", explain=False)
    assert not any(tag["reasons"] for tag in bare["hashtags"])


def test_a_clip_is_answered_in_stages(service: Served, clip: Path) -> None:
    form = {"user": "u0", "caption": "harbour", "filmstrip": "true", "k": "4"}
    with clip.open("rb") as file:
        answer = service.client.post(
            "/v1/recommend",
            data=form,
            files={"clip": ("../../../etc/passwd\0.mp4", file, "video/mp4")},
            headers={"Accept": "text/event-stream"},
        )
    assert answer.headers["content-type"].startswith("text/event-stream")
    told = events(answer.text)
    stages = [value["stage"] for kind, value in told if kind == "stage"]
    assert stages == ["received", "decode", "features", "score"]
    kind, result = told[-1]
    assert kind == "result"
    assert len(result["hashtags"]) == 4
    assert result["timing_ms"]["decode"] > 0
    assert result["filmstrip"]
    assert all(f["image"].startswith("data:image/jpeg;base64,") for f in result["filmstrip"])
    assert list((service.settings.uploads_folder or Path()).iterdir()) == []


def test_what_is_no_clip_is_refused_with_a_reason(either: Served) -> None:
    send = {"files": {"clip": b"PK\3\4 this is no clip"}, "data": {"caption": "x"}}
    message = refused(either.client.post("/v1/recommend", **send), 422, "clip")
    assert "uploads" not in message
    streamed = either.client.post("/v1/recommend", **send, headers={"Accept": "text/event-stream"})
    kind, value = events(streamed.text)[-1]
    assert (kind, value["error"]["kind"]) == ("error", "clip")
    failures = either.client.get("/v1/stats").json()["failures"]
    assert failures[0]["stage"] == "decode"
    assert list((either.settings.uploads_folder or Path()).iterdir()) == []


def test_what_is_published_changes_the_next_recommendation(either: Served, clip: Path) -> None:
    with clip.open("rb") as file:
        asked = either.client.post(
            "/v1/recommend", data={"user": "newcomer", "caption": "kitchen"}, files={"clip": file}
        ).json()
    assert not asked["known_user"]
    post = {
        "user": "newcomer",
        "hashtags": ["#BrandNew", asked["hashtags"][0]["hashtag"]],
        "recommendation_id": asked["recommendation_id"],
        "post": "first",
    }
    answer = either.client.post("/v1/posts", json=post)
    assert answer.status_code == 201
    told = answer.json()
    assert (told["post"], told["user"], told["warnings"]) == ("first", "newcomer", [])
    after = either.recommend(user="newcomer", caption="kitchen")
    assert after["known_user"]
    assert "brandnew" in [tag["hashtag"] for tag in after["hashtags"]]
    # Its features were kept: the post can be asked for again, without the clip.
    stored = either.store.post("default", "first")
    assert stored is not None
    assert stored.caption == "kitchen"
    assert stored.values is not None
    assert stored.values["acoustic-logmel"] is not None
    again = either.recommend(post="first", k=3)
    assert again["user"] == "newcomer"
    assert "warnings" in again
    # The same again changes nothing; something else is refused.
    same = either.client.post("/v1/posts", json=post)
    assert (same.status_code, same.json()["number"]) == (200, None)
    other = either.client.post("/v1/posts", json={**post, "hashtags": ["other"]})
    refused(other, 409, "conflict")
    stats = either.client.get("/v1/stats").json()
    assert stats["acceptance"]["1"] == 1.0
    assert sum(stats["minutes"]) == stats["recommendations"] > 0
    assert len(stats["minutes"]) == 60
    assert stats["stages_ms"]["score"]["p50"] > 0


def test_a_caption_that_was_changed_is_read_again(either: Served) -> None:
    asked = either.recommend(user="editor", caption="kitchen light")
    said = {"hashtags": ["x1"], "recommendation_id": asked["recommendation_id"]}
    changed = {**said, "post": "changed", "caption": "a striker scores #Goal"}
    assert either.client.post("/v1/posts", json=changed).status_code == 201
    stored = either.store.post("default", "changed")
    assert stored is not None
    assert stored.hashtags == ["goal", "x1"]
    assert stored.user == "editor"
    shown = either.store.recommendation("default", asked["recommendation_id"])
    assert shown is not None
    assert stored.values is not None
    assert shown.values is not None
    assert not np.array_equal(stored.values["textual-sif"], shown.values["textual-sif"])


def test_users_and_hashtags_are_found_and_users_erased(either: Served) -> None:
    for n in range(2):
        post = {"user": "a/b c", "hashtags": ["slash"], "caption": "x", "post": f"slash-{n}"}
        assert either.client.post("/v1/posts", json=post).status_code == 201
    found = either.client.get("/v1/users", params={"prefix": "a/"}).json()
    assert found == {"users": [{"user": "a/b c", "posts": 2}]}
    assert {"user": "u0"}.items() <= either.client.get("/v1/users?prefix=u").json()["users"][
        0
    ].items()
    told = either.client.get("/v1/users/a%2Fb%20c").json()
    assert (told["posts"], told["hashtags"]) == (2, [{"hashtag": "slash", "uses": 2}])
    tags = either.client.get("/v1/hashtags", params={"prefix": "#Sla"}).json()
    assert tags == {"hashtags": [{"hashtag": "slash", "uses": 2}]}
    assert either.client.get("/v1/users/u1").json()["posts"] > 0
    for user in ("a/b c", "u1"):
        assert either.client.delete(f"/v1/users/{user}").status_code == 200
        refused(either.client.get(f"/v1/users/{user}"), 404, "not_found")
        assert not either.recommend(user=user, caption="x")["known_user"]
    assert either.client.get("/v1/users?prefix=u1").json() == {"users": []}


def test_ready_features_are_answered_in_batches(service: Served) -> None:
    manifests = service.engine.base.run.manifests
    dim = manifests["textual-sif"].shape[0]
    values = {"textual-sif": [0.1] * dim, "acoustic-logmel": None}
    posts = [{"user": f"u{n}", "values": values, "k": n + 1} for n in range(3)]
    answer = service.client.post("/v1/recommend/batch", json={"posts": posts})
    assert [len(a["hashtags"]) for a in answer.json()["answers"]] == [1, 2, 3]
    for wrong in ([0.1] * (dim + 1), [[0.1], [0.2, 0.3]], ["x"] * dim, [1e39] * dim):
        said = {"posts": [{"values": {"textual-sif": wrong}}]}
        refused(service.client.post("/v1/recommend/batch", json=said), 422, "input")
    said = {"posts": [{"values": {"unknown": [1.0]}}]}
    refused(service.client.post("/v1/recommend/batch", json=said), 422, "input")
    text = json.dumps({"values": {"textual-sif": [float("nan")] * dim}})
    typed = {"Content-Type": "application/json"}
    refused(service.client.post("/v1/recommend", content=text, headers=typed), 422, "input")


@pytest.mark.parametrize(
    "said",
    [
        {"k": 0},
        {"k": 10**9},
        {"caption": "a" * 20_001},
        {"caption": "nul \0"},
        {"user": "u" * 257},
        {"at": "yesterday"},
        {"at": 2**62},
        {"unknown": 1},
        {"values": {"textual-sif": "x"}},
        [],
    ],
)
def test_what_cannot_be_is_refused(service: Served, said: Any) -> None:
    refused(service.client.post("/v1/recommend", json=said), 422, "input")


def test_odd_requests_are_refused_in_the_one_form(service: Served) -> None:
    client = service.client
    refused(client.get("/nothing"), 404, "not_found")
    refused(client.get("/v1/recommend"), 405, "method_not_allowed")
    refused(client.post("/v1/recommend", content=b"x"), 415, "unsupported_media_type")
    refused(client.get("/v1/stats?minutes=0"), 422, "input")
    refused(client.get("/v1/users?n=1&prefix=%00"), 422, "input")
    refused(client.post("/v1/recommend", json={"post": "absent"}), 404, "not_found")
    refused(client.post("/v1/posts", json={"hashtags": ["# #"]}), 422, "input")
    refused(client.post("/v1/posts", json={"hashtags": ["a"] * 101}), 422, "input")
    form = {"Content-Type": "multipart/form-data; boundary=x"}
    for body in (b"", b"--x\r\n", b"no form", b'--x\r\nContent-Disposition: form-data; name="k"'):
        refused(client.post("/v1/recommend", content=body, headers=form), 422, "input")
    lone = client.post(
        "/v1/recommend",
        content=rb'{"caption": "\ud800"}',
        headers={"Content-Type": "application/json"},
    )
    refused(lone, 422, "input")
    elsewhere = {"Host": "evil.example"}
    refused(client.get("/v1/model", headers=elsewhere), 403, "forbidden")
    elsewhere = {"Origin": "http://evil.example"}
    refused(client.post("/v1/posts", json={}, headers=elsewhere), 403, "forbidden")
    refused(
        client.get("/v1/model", headers={"Authorization": "Bearer rt_x_y"}), 401, "unauthorized"
    )


def test_too_large_a_body_is_refused_by_what_came(service: Served) -> None:
    announced = {"Content-Type": "application/json", "Content-Length": "1000000000"}
    answer = raw(service, announced, b"{")
    assert b"413" in answer.split(b"\r\n")[0]

    def blocks() -> Iterator[bytes]:
        for _ in range(30):
            yield b"x" * 100_000

    typed = {"Content-Type": "application/json"}
    try:
        large = service.client.post("/v1/recommend", content=blocks(), headers=typed)
    except httpx.WriteError:
        pass  # the answer came, and the connection was closed, before all was sent
    else:
        refused(large, 413, "too_large")
    clip = service.client.post("/v1/recommend", files={"clip": b"x" * 2_100_000})
    refused(clip, 413, "too_large")
    assert list((service.settings.uploads_folder or Path()).iterdir()) == []


def raw(service: Served, headers: dict[str, str], body: bytes, wait: float = 20) -> bytes:
    """What is answered to a request whose body does not go on."""
    host, port = service.address.removeprefix("http://").split(":")
    with socket.create_connection((host, int(port)), timeout=wait) as connection:
        lines = [f"{name}: {value}" for name, value in {"Host": host, **headers}.items()]
        head = "\r\n".join(["POST /v1/recommend HTTP/1.1", *lines, "", ""])
        connection.sendall(head.encode() + body)
        return connection.recv(4096)


def test_slow_bodies_and_too_many_clips_do_not_hold_it(run: Path, tmp_path: Path) -> None:
    with served(run, tmp_path, uploads=1, patience=1.5) as service:
        kind = {"Content-Type": "multipart/form-data; boundary=x", "Content-Length": "1000000"}
        head = "\r\n".join(f"{name}: {value}" for name, value in {"Host": "x", **kind}.items())
        part = '--x\r\nContent-Disposition: form-data; name="clip"\r\n\r\n'
        begun = f"POST /v1/recommend HTTP/1.1\r\n{head}\r\n\r\n{part}".encode()
        begun = begun.replace(b"Host: x", f"Host: {service.address[7:]}".encode())
        host, port = service.address.removeprefix("http://").split(":")
        with socket.create_connection((host, int(port)), timeout=20) as slow:
            slow.sendall(begun + bytes(70_000))  # so much has a place on the disk
            time.sleep(0.3)
            busy = service.client.post("/v1/recommend", files={"clip": b"x"})
            refused(busy, 503, "overloaded")
            assert int(busy.headers["retry-after"]) >= 1
            assert service.recommend(caption="x")["hashtags"]  # captions do not wait for clips
            form = service.client.post("/v1/recommend", files={"caption": (None, "x")})
            assert form.status_code == 200
            assert b"408" in slow.recv(4096).split(b"\r\n")[0]
        refused(service.client.post("/v1/recommend", files={"clip": b"x"}), 422, "clip")


def test_keys_open_their_tenant_alone(
    run: Path, new_url: Callable[[], str], tmp_path: Path
) -> None:
    with served(run, tmp_path, store=new_url(), keys=True) as service:
        store, client = service.store, service.client
        scopes = ("read", "write", "admin")
        keys = {scope: store.add_key("acme", [scope]) for scope in scopes}
        theirs = store.add_key("other", ["write"])

        def by(key: str) -> dict[str, str]:
            return {"Authorization": f"Bearer {key}"}

        for path in ("/v1/model", "/metrics", "/v1/users/u0"):
            refused(client.get(path), 401, "unauthorized")
        for path in ("/", "/dashboard", "/health/live", "/health/ready"):
            assert client.get(path).status_code == 200
        post = {"user": "ann", "caption": "secret", "hashtags": ["mine"], "post": "p"}
        refused(client.post("/v1/posts", json=post, headers=by(keys["read"])), 403, "forbidden")
        assert client.post("/v1/posts", json=post, headers=by(keys["write"])).status_code == 201
        assert client.get("/v1/users/ann", headers=by(keys["read"])).json()["posts"] == 1
        for path in ("/v1/users/ann", "/v1/users/u0"):
            refused(client.get(path, headers=by(theirs)), 404, "not_found")
        refused(
            client.post("/v1/recommend", json={"post": "p"}, headers=by(theirs)), 404, "not_found"
        )
        for prefix in ("a", "u"):
            found = client.get("/v1/users", params={"prefix": prefix}, headers=by(theirs)).json()
            assert found == {"users": []}
        told = client.post("/v1/recommend", json={"user": "ann"}, headers=by(theirs)).json()
        assert not told["known_user"]
        assert "mine" not in [tag["hashtag"] for tag in told["hashtags"]]
        # Other tenants' posts of the same id and user are their own.
        assert client.post("/v1/posts", json=post, headers=by(theirs)).status_code == 201
        refused(
            client.post("/v1/admin/reload", json={"run": str(run)}, headers=by(keys["write"])),
            403,
            "forbidden",
        )
        assert client.get("/metrics", headers=by(keys["admin"])).status_code == 200


def test_runs_are_changed_and_changed_back(run: Path, other: Path, tmp_path: Path) -> None:
    with served(run, tmp_path) as service:
        client = service.client
        refused(client.post("/v1/admin/rollback"), 422, "run")
        refused(client.post("/v1/admin/reload", json={"run": "/absent"}), 422, "run")
        assert client.post("/v1/admin/reload", json={"run": str(run)}).json() == {"run": "run"}
        refused(client.post("/v1/admin/rollback"), 422, "run")  # the same: nothing to go back to
        before = service.recommend(user="u1", caption="cooking noodles")
        told = client.post("/v1/admin/reload", json={"run": str(other)})
        assert told.json() == {"run": "other"}
        assert client.get("/v1/model").json()["model"] == "user-history"
        changed = service.recommend(user="u1", caption="cooking noodles")
        assert changed["hashtags"] != before["hashtags"]
        post = {"user": "u1", "caption": "x", "hashtags": ["between"]}
        assert client.post("/v1/posts", json=post).status_code == 201
        assert client.post("/v1/admin/rollback").json() == {"run": "run"}
        assert client.get("/v1/model").json()["model"] == "reeltag"
        after = service.recommend(user="u1", caption="cooking noodles", k=30)
        assert "between" in [tag["hashtag"] for tag in after["hashtags"]]
        assert client.post("/v1/admin/rollback").json() == {"run": "other"}


def test_what_browsers_are_told(service: Served) -> None:
    page = service.client.get("/")
    assert page.headers["content-type"].startswith("text/html")
    policy = page.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    script = service.client.get("/page/page.js")
    assert script.headers["content-type"].startswith("text/javascript")
    for path in ("/page/../app.py", "/page/%2e%2e/app.py", "/page/__init__.py"):
        refused(service.client.get(path), 404, "not_found")
    document = service.client.get("/docs", follow_redirects=True).json()
    assert "/v1/recommend" in document["paths"]
    assert service.client.get("/health/live").headers["x-content-type-options"] == "nosniff"


def test_metrics_count_what_happened(either: Served) -> None:
    either.recommend(caption="counted")
    refused(either.client.post("/v1/recommend", files={"clip": b"no"}), 422, "clip")
    text = either.client.get("/metrics").text
    figures = dict(line.rsplit(" ", 1) for line in text.splitlines() if not line.startswith("#"))
    assert float(figures['reeltag_requests_total{route="/v1/recommend",status="200"}']) >= 1
    assert float(figures["reeltag_decode_failures_total"]) >= 1
    assert float(figures['reeltag_queue_depth{queue="engine"}']) == 0
    assert 'reeltag_stage_seconds_count{stage="score"}' in figures
    assert 'reeltag_acceptance{k="10"}' in figures
