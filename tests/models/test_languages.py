"""Captions in any language: German compounds, Chinese, Vietnamese, emoji alone; no feature read."""

from __future__ import annotations

from itertools import cycle, islice
from pathlib import Path

import polars as pl
import pytest

from reeltag.data.dataset import Dataset
from reeltag.data.splits import SplitRecipe, make_split
from reeltag.evaluation.evaluate import evaluate
from reeltag.experiments.train import fit, prepare, refit

TOPICS = {
    "german": {
        "fussball": ["Fußballspiele", "das Fußballspiel", "Fußballplätze", "ein Fußballfest"],
        "kochen": ["Kochkünste", "die Kochkunst", "Kochabende", "beim Kochabend"],
        "garten": ["Gartenblumen", "die Gartenblume", "Gärtnerei im Garten", "Gartenbeete"],
        "reise": ["Reiseziele", "mein Reiseziel", "Reisefotos", "ein Reisefoto"],
    },
    "chinese": {
        "足球": ["今天踢足球真开心", "足球比赛", "看足球比赛去", "踢足球"],
        "美食": ["做美食给家人", "美食分享", "今天分享美食", "家人的美食"],
        "旅行": ["旅行日记", "一个人去旅行", "旅行的意义", "去旅行吧"],
        "猫咪": ["我家的猫咪", "猫咪睡觉", "可爱的猫咪睡觉了", "看我家猫咪"],
    },
    "vietnamese": {
        "bóngđá": ["trận bóng đá hôm nay", "xem bóng đá", "đá bóng với bạn", "bóng đá việt nam"],
        "nấuăn": ["nấu ăn ngon", "học nấu ăn", "nấu món ăn", "vào bếp nấu ăn"],
        "dulịch": ["du lịch đà nẵng", "đi du lịch", "chuyến du lịch", "du lịch một mình"],
        "mèo": ["con mèo của tôi", "mèo ngủ", "mèo con dễ thương", "chú mèo nhỏ"],
    },
    "emoji": {
        "football": ["⚽️⚽️", "⚽🏆", "🏆⚽🔥", "⚽👏🏽"],
        "cooking": ["🍳🍕", "🍕🍕🔥", "🍳👨‍🍳", "🍕🍳"],
        "travel": ["✈️🌍", "✈️", "🌍✈️🔥", "🌍"],
        "cats": ["🐱", "🐱😻", "😻😻", "😻🐱🔥"],
    },
}


def dataset_of(path: Path, topics: dict[str, list[str]]) -> Dataset:
    """Every caption several times, posted by anybody: who posts says nothing."""
    rows = [(caption, topic) for topic, captions in topics.items() for caption in captions]
    rows = list(islice(cycle(rows), 10 * len(rows)))
    posts = pl.DataFrame(
        {
            "post": [f"p{n}" for n in range(len(rows))],
            "user": [f"u{n % 7}" for n in range(len(rows))],
            "caption": [f"{caption} {n}" for n, (caption, _) in enumerate(rows)],
            "hashtags": [[topic, "fyp"] for _, topic in rows],
        }
    )
    dataset = Dataset.create(path, posts, source={"format": "generated"})
    make_split(dataset, "main", SplitRecipe(by="random", ratio=(6, 2, 2)))
    return dataset


@pytest.mark.parametrize("language", list(TOPICS))
def test_captions_are_understood(tmp_path: Path, language: str) -> None:
    dataset = dataset_of(tmp_path / "data", TOPICS[language])
    quality = {}
    for name, settings in (
        ("popularity", {}),
        ("text-knn", {}),
        ("reeltag", {}),
    ):
        corpus, model = prepare(dataset, "main", name, settings)
        trainee = refit(fit(corpus, model, name, settings, tmp_path / name, device="cpu"))
        found = evaluate(trainee.model, corpus, tops=(2,))
        quality[name] = found.metrics["recall@2"]
    assert quality["popularity"] < 0.8
    assert quality["text-knn"] > 0.97
    assert quality["reeltag"] > 0.97
