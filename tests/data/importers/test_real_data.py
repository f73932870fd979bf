"""The real data sets, counted; skipped where they are absent."""

from __future__ import annotations

from pathlib import Path

from reeltag.data.importers import import_posts
from reeltag.hashtags import find

VISUAL = (
    "V6_visual_set-up,V7a_images,V7b_text,V7c_screenshots_and_recordings,"
    "V7d_graphs_maps_infoanimations,V7e_news_brand_elements,V7f_outlet-related_endcard"
)
ACOUSTIC = (
    "V8a_journalists_moderators_voice,V8b_other_peoples_voice,V8c_voice_other_effect,V8d_music,"
    "V8e_ambient,M2_music_id"
)


def test_tiktok_news(shared: Path, tmp_path: Path) -> None:
    report = import_posts(
        shared / "tiktok_news_gesis" / "tiktok.csv.gz",
        tmp_path / "news",
        mapping={
            "post": "M1_video_id",
            "user": "V3_news_outlet",
            "time": "M3_create_time",
            "hashtags": "M8_hashtags",
            "caption": "V11_general_topic",
        },
        features={"visual": VISUAL.split(","), "acoustic": ACOUSTIC.split(",")},
    )
    counts = report.dataset.counts
    assert (counts["posts"], counts["users"], counts["uses"]) == (4287, 18, 25968)
    assert counts["hashtags"] == 7292  # 7,302 as written: ten differ by case folding alone
    assert counts["posts_without_time"] == 0
    assert report.dataset.posts["post"][0] == "7203375632661695749"
    assert report.dataset.feature("visual-columns").dim == 9
    assert int(report.dataset.feature("visual-columns").present.sum()) == 3979


def test_tweets(shared: Path, tmp_path: Path) -> None:
    source = shared / "twitter_howyoutag" / "posts.jsonl.gz"
    mapping = {"caption": "text", "split": "split"}
    report = import_posts(source, tmp_path / "tweets", mapping=mapping)
    counts = report.dataset.counts
    assert (counts["posts"], counts["users"], counts["uses"]) == (33881, 2571, 68383)
    parts = dict(report.dataset.posts["part"].value_counts().iter_rows())
    assert parts == {"train": 21226, "validation": 6235, "test": 6420}


def test_kuairec(shared: Path, tmp_path: Path) -> None:
    source = shared / "kuairec_captions" / "kuairec_caption_category.csv.gz"
    mapping = {"post": "video_id", "hashtags": "topic_tag", "caption": "caption"}
    report = import_posts(source, tmp_path / "kuai", mapping=mapping)
    counts = report.dataset.counts
    # Four captions hold a bare \r outside quotes, which Python's csv counts as rows of their own.
    assert (counts["posts"], counts["users"], counts["hashtags"]) == (10728, 0, 6041)
    assert not any(find(caption) for caption in report.dataset.posts["caption"])
