"""Numbers, words and features that cannot be: each is refused with a reason, or harmless."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import httpx
import polars as pl
import pytest

from reeltag.data.dataset import Dataset
from reeltag.data.splits import SplitRecipe, make_split
from reeltag.experiments.train import train_run
from reeltag.features.job import extract
from tests.models.sequenced import SMALL
from tests.serving.hostile.watch import refusal
from tests.serving.served import Served, served

TYPED = {"Content-Type": "application/json"}
TOKENS = "textual-tokens"
SENTENCES = ["a harbour at night", "noodles and rice", "the striker scores", "light in a kitchen"]


@pytest.fixture(scope="module")
def reader(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """A service whose run reads words as ids, in a recurrent network."""
    folder = tmp_path_factory.mktemp("words")
    posts = pl.DataFrame(
        {
            "post": [f"p{n}" for n in range(40)],
            "user": [f"u{n % 3}" for n in range(40)],
            "caption": [SENTENCES[n % 4] for n in range(40)],
            "hashtags": [[f"t{n % 4}"] for n in range(40)],
        }
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("REELTAG_CACHE", str(folder / "cache"))
        dataset = Dataset.create(folder / "data", posts, source={"format": "generated"})
        extract(dataset, workers=1, textual=["tokens"])
        make_split(dataset, "main", SplitRecipe())
        train_run(dataset, "main", "logo", {**SMALL, "epochs": 1}, folder / "run")
        with served(folder / "run", folder) as made:
            yield made


def asked(service: Served, text: str | bytes) -> httpx.Response:
    """The answer to JSON, however odd."""
    return service.client.post("/v1/recommend", content=text, headers=TYPED)


@pytest.mark.parametrize(
    "ids",
    [
        [65_536], [-1], [2**31], [2**63], [10**400], [1.5], ["x"], [None], [[1]], [[]], [],
        [1e308], list(range(1, 1_026)), [{}], [[1], [1, 2]],
    ],
)  # fmt: skip
def test_ids_that_there_are_not_are_refused(reader: Served, ids: list[Any]) -> None:
    told = refusal(asked(reader, json.dumps({"values": {TOKENS: ids}})))
    assert told["kind"] == "input"
    said = {"values": {TOKENS: ids}, "user": "u0", "hashtags": ["t0"]}
    refusal(reader.client.post("/v1/posts", content=json.dumps(said), headers=TYPED))
    assert reader.recommend(values={TOKENS: [1, 65_535]})["hashtags"]


@pytest.mark.parametrize("ids", [[0], [0, 0, 0], [1] * 1_024, None])
def test_odd_ids_that_there_are_are_answered(reader: Served, ids: list[int] | None) -> None:
    assert reader.recommend(values={TOKENS: ids})["hashtags"]
    posts = [{"values": {TOKENS: ids}}, {"values": {TOKENS: [3]}}, {"caption": "rice"}]
    answer = reader.client.post("/v1/recommend/batch", json={"posts": posts})
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize(
    "numbers",
    [
        "NaN",
        "Infinity",
        "-Infinity",
        "1e39",
        "1e400",
        "-1e400",
        "null",
        "{}",
        '"1"',
        "[]",
        "1" * 5000,
    ],
)
def test_numbers_that_are_none_are_refused(service: Served, numbers: str) -> None:
    (manifest,) = service.engine.base.run.manifests.values()
    whole = ", ".join([numbers] * manifest.shape[0])
    text = f'{{"values": {{"{manifest.name}": [{whole}]}}}}'
    if numbers == '"1"':  # NumPy reads it as the number it is
        assert asked(service, text).status_code == 200
    else:
        assert refusal(asked(service, text))["kind"] == "input"


@pytest.mark.parametrize("shape", [(0,), (1,), (10_000,), (2_000_000,), (3, 3), (1, 1, 1)])
def test_shapes_that_do_not_fit_are_refused(service: Served, shape: tuple[int, ...]) -> None:
    (name,) = service.engine.base.run.manifests
    value: Any = 0
    for size in reversed(shape):
        value = [value] * size
    assert refusal(service.client.post("/v1/recommend", json={"values": {name: value}}))


@pytest.mark.parametrize(
    "k", ["0", "-1", "1000000000", "1.5", '"ten"', "null", "[]", "1e999", "9" * 5000, "NaN", '""']
)
def test_counts_that_cannot_be_are_refused(service: Served, k: str) -> None:
    refusal(asked(service, f'{{"caption": "a", "k": {k}}}'))
    form = {"caption": (None, "a"), "k": (None, k.strip('"'))}
    refusal(service.client.post("/v1/recommend", files=form))


@pytest.mark.parametrize(
    "text",
    [
        b"", b"{", b"[]", b"null", b"1", b'"a"', b"\xff\xfe", b"\xef\xbb\xbf{}", b'{"caption": 1}',
        b'{"caption": "\\ud800"}', b'{"caption": "\\udc00\\ud800"}', b'{"caption": "a\\u0000b"}',
        b'{"user": "\\ud83d"}', b'{"caption": "\xed\xa0\x80"}', b'{"caption": "\xf5\x80\x80\x80"}',
        b"[" * 100_000, b'{"a":' * 100_000, b'{"values": {"x": ' + b"[" * 150 + b"]" * 150 + b"}}",
        b'{"caption": "' + b"a" * 10_000_000 + b'"}',
        b'{"caption": "' + b"\\u0061" * 30_000 + b'"}',
        b'{"user": "' + b"u" * 1_000_000 + b'"}', b'{"at": ' + b"9" * 4000 + b"}",
        b'{"at": 1e300}', b'{"at": "0000-00-00"}', b'{"at": "9999-99-99T99:99"}',
        b'{"post": "\\ud800"}', b'{"explain": "perhaps"}',
    ],
)  # fmt: skip
def test_texts_that_cannot_be_are_refused(service: Served, text: bytes) -> None:
    assert refusal(asked(service, text))["kind"] == "input"


def test_captions_of_forms_are_as_bounded(service: Served) -> None:
    caption = "a" * 3_500_000
    answer = service.client.post("/v1/recommend", files={"caption": (None, caption)})
    assert refusal(answer)["kind"] == "input"


@pytest.mark.parametrize(
    "words",
    [
        "🎬🍜" * 2_000, "👩\u200d👩\u200d👧" * 500, "\u200b\u200d\ufeff" * 1_000, "𐍈𝕳" * 1_000,
        "\u202e\u2066abc\u2069", "a\u0300" * 5_000, "ﷺ" * 1_000, "\u0001\u001b[31m\r\n",
        "#" * 20_000,
        "#a" * 10_000, "\uffff\ufffe", " " * 20_000, "İß" * 1_000, "<script>alert(1)</script>",
        "'; DROP TABLE posts; --", "%00%ff",
    ],
)  # fmt: skip
def test_odd_words_are_answered_and_kept(service: Served, words: str) -> None:
    told = service.recommend(caption=words, user=words[:100])
    assert told["hashtags"]
    post = {"caption": words, "user": words[:100] or "u", "hashtags": ["t0"]}
    answer = service.client.post("/v1/posts", json=post)
    if answer.status_code != 201:  # more hashtags in it than a post may have
        assert refusal(answer)["kind"] == "input"
    refusal(service.client.get("/v1/users/%00"))
    for hashtag in (words[:50], words[:50] + "#"):
        answer = service.client.post("/v1/posts", json={"user": "odd", "hashtags": [hashtag]})
        if answer.status_code != 201:
            assert refusal(answer)["kind"] == "input"
    assert service.recommend(user="odd", caption="a")["hashtags"]


@pytest.mark.parametrize("path", ["%ff", "%ed%a0%80", "a" * 8_000, "%2e%2e%2f", "%e2%80%ae", "%00"])
def test_odd_addresses_are_refused(service: Served, path: str) -> None:
    for address in (f"/v1/users/{path}", f"/{path}", f"/v1/hashtags?n={path}"):
        refusal(service.client.get(address))
