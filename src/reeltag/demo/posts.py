"""A seed in, posts of a dozen creators out who tag alike content differently.

What a post's hashtags depend on, so that each kind of model has something to find:

* the topic of its clip, seen in the picture, heard in the sound, often said in words;
* the creator, who calls each thing by one favourite name, mostly that of a style
  shared with two others, and has two hashtags of their own;
* the day, for those who follow trends;
* chance.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from random import Random

from reeltag.demo.lexicon import ASIDES, CREATORS, MOODS, STYLES, TOPICS, TRENDS, VAGUE

START = datetime(2025, 3, 1, tzinfo=UTC)
DAYS = 90
_SAY = (0.92, 0.66, 0.5, 0.36)
"""How often each of a topic's things is said, most usual first."""


@dataclass(frozen=True)
class PlannedPost:
    """One post before its clip is drawn."""

    id: str
    topic: str
    creator: str
    creator_id: str
    time: datetime
    caption: str
    """Without hashtags; may be empty."""
    hashtags: tuple[str, ...]
    """2 to 5, lower case, without `#`, in the order written."""
    written: str
    """Caption and hashtags as the creator wrote them."""
    silent: bool
    """The clip has no audio stream."""


@dataclass(frozen=True)
class _Creator:
    name: str
    favourites: tuple[str, ...]
    names: dict[tuple[str, int], tuple[str, str]]
    """(topic, thing) to the hashtag used mostly and the one used at times."""
    own: tuple[str, str]
    follows_trends: float
    capitals: bool

    @property
    def id(self) -> str:
        return self.name.lower().replace(" ", ".")


def plan_posts(posts: int, seed: int) -> list[PlannedPost]:
    """The posts, by time; a pure function of the arguments."""
    creators = _creators(seed)
    random = Random(f"{seed}/times")
    moments = sorted(random.randrange(DAYS * 86_400) for _ in range(posts))
    busy = [1.6 - 0.08 * rank for rank in range(len(creators))]
    planned = []
    for index, moment in enumerate(moments):
        random = Random(f"{seed}/post/{index}")
        # The first dozen go round, so that everybody posts however few there are.
        creator = (
            creators[index] if index < len(creators) else random.choices(creators, weights=busy)[0]
        )
        planned.append(_post(index, creator, START + timedelta(seconds=moment), random))
    return planned


def _creators(seed: int) -> list[_Creator]:
    topics = list(TOPICS)
    creators = []
    for number, (name, style, own) in enumerate(CREATORS):
        random = Random(f"{seed}/creator/{name}")
        first = topics[number % len(topics)]
        others = random.sample([t for t in topics if t != first], random.randint(2, 4))
        names = {
            (topic, thing): _two_names(tags, style, random)
            for topic, about in TOPICS.items()
            for thing, tags in enumerate(about.tags)
        }
        trend = random.choice((0.0, 0.1, 0.35))
        creators.append(_Creator(name, (first, *others), names, own, trend, number % 5 == 3))
    return creators


def _two_names(tags: Sequence[str], style: str, random: Random) -> tuple[str, str]:
    """The hashtag a creator mostly uses for a thing, and another."""
    usual = tags[STYLES.index(style)] if random.random() < 0.75 else random.choice(tags)
    return usual, random.choice([tag for tag in tags if tag != usual])


def _post(index: int, creator: _Creator, time: datetime, random: Random) -> PlannedPost:
    weights = [3.0, *[2.0] * (len(creator.favourites) - 1)]
    topic = random.choices(creator.favourites, weights=weights)[0]
    if random.random() < 0.06:
        topic = random.choice(list(TOPICS))
    caption = _caption(topic, creator, random)
    hashtags = _hashtags(topic, creator, time, random)
    shown = [tag.capitalize() if creator.capitals else tag for tag in hashtags]
    line = " ".join(f"#{tag}" for tag in shown)
    return PlannedPost(
        id=f"reel-{index:04d}",
        topic=topic,
        creator=creator.name,
        creator_id=creator.id,
        time=time,
        caption=caption,
        hashtags=tuple(hashtags),
        written=f"{caption} {line}".strip(),
        silent=random.random() < 0.08,
    )


def _caption(topic: str, creator: _Creator, random: Random) -> str:
    about, lot = TOPICS[topic], random.random()
    if lot < 0.12:
        return ""
    if lot < 0.36:
        return random.choice(VAGUE) + random.choice(ASIDES)
    if lot < 0.42:
        return random.choice(about.elsewhere)
    text = random.choice(about.captions)
    text = text.format(thing=random.choice(about.things), mood=random.choice(MOODS))
    if random.random() < 0.5:
        text = text[0].upper() + text[1:]
    return text + random.choice(ASIDES)


def _hashtags(topic: str, creator: _Creator, time: datetime, random: Random) -> list[str]:
    chosen = []
    for thing, chance in enumerate(_SAY):
        if random.random() < chance:
            usual, other = creator.names[topic, thing]
            chosen.append(usual if random.random() < 0.85 else other)
    for tag, chance in zip(creator.own, (0.4, 0.2), strict=True):
        if random.random() < chance:
            chosen.append(tag)
    if random.random() < creator.follows_trends:
        chosen.append(TRENDS[(time - START).days * len(TRENDS) // DAYS])
    while len(chosen) < 2:
        spare = [creator.names[topic, 0][0], creator.names[topic, 1][0], creator.own[0]]
        chosen.append(random.choice([tag for tag in spare if tag not in chosen]))
    random.shuffle(chosen)
    return chosen[:5]
