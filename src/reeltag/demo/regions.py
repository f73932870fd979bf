"""A seed in, posts whose hashtag names one small object of their clip, another for each user.

A clip has two moments in different light, in either order. At each, one object in the colour
of each team stands somewhere. Of users two things are known, their `team` and what they
`like`, and they tag the object in their team's colour of the moment they like:

    red team, likes sun      →  the red object of the clip's lightest moment
    blue team, likes shade   →  the blue object of its darkest

Every shape is as likely as another, at any place, moment and in any colour, so neither a
user's past hashtags nor the clip alone tells the hashtag. How light a clip's lightest moment
is differs from clip to clip, and may be darker than another clip's darkest: moments must be
compared with each other, which a model that looks at each for itself cannot do.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from random import Random

from reeltag.errors import InputError

TEAMS = ("red", "blue")
LIKES = ("sun", "shade")
SHAPES = (
    "ball", "ring", "box", "kite", "tent", "plus",
    "star", "heart", "moon", "ladder", "bolt", "hourglass",
)  # fmt: skip
"""What an object can be, which is its hashtag."""
CHATTER = ("fyp", "foryou", "viral", "clips")
"""Hashtags that depend on nothing."""
CHATTER_CHANCE = 0.25
MOMENTS = 2
POSTS_A_USER = 3
START = datetime(2025, 6, 1, tzinfo=UTC)
_CONTRAST = 0.4
"""How much lighter a clip's lightest moment is than its darkest. Below a half, so that a light
in the middle of the scale is the lightest of one clip and the darkest of another."""
_BOARD = 3
_SHIFT = 0.03
"""How far an object may stand from the middle of its place on the board."""


@dataclass(frozen=True)
class Thing:
    """One object; x and y of its middle are parts of the frame's sides."""

    team: str
    shape: str
    x: float
    y: float


@dataclass(frozen=True)
class Moment:
    """A part of the clip: how light it is, from 0 to 1, and one object a team."""

    light: float
    things: tuple[Thing, ...]


@dataclass(frozen=True)
class RegionPost:
    """One post before its clip is drawn."""

    id: str
    user: str
    team: str
    likes: str
    time: datetime
    moments: tuple[Moment, ...]
    hashtags: tuple[str, ...]
    """The shape of the user's object, at times some chatter after it."""


def plan_region_posts(posts: int, seed: int) -> list[RegionPost]:
    """The posts, by time; a pure function of the arguments. Raises `InputError` below one."""
    if posts < 1:
        raise InputError(f"Got posts={posts}, expected at least 1.")
    order = [number // POSTS_A_USER for number in range(posts)]
    Random(f"{seed}/region-users").shuffle(order)
    return [_post(at, user, Random(f"{seed}/region/{at}")) for at, user in enumerate(order)]


def own_thing(post: RegionPost, team: str, likes: str) -> Thing:
    """The object that a user of `team` who `likes` one or the other would tag."""
    pick = max if likes == "sun" else min
    moment = pick(post.moments, key=lambda m: m.light)
    return next(thing for thing in moment.things if thing.team == team)


def _post(index: int, user: int, random: Random) -> RegionPost:
    start = random.uniform(0, 1 - _CONTRAST)
    lights = [start + _CONTRAST * step / (MOMENTS - 1) for step in range(MOMENTS)]
    random.shuffle(lights)
    post = RegionPost(
        id=f"yard-{index:04d}",
        user=f"user-{user:03d}",
        team=TEAMS[user % len(TEAMS)],
        likes=LIKES[user // len(TEAMS) % len(LIKES)],
        time=START + timedelta(minutes=7 * index),
        moments=tuple(Moment(light, _things(random)) for light in lights),
        hashtags=(),
    )
    own = own_thing(post, post.team, post.likes).shape
    chatter = [random.choice(CHATTER)] if random.random() < CHATTER_CHANCE else []
    return replace(post, hashtags=(own, *chatter))


def _things(random: Random) -> tuple[Thing, ...]:
    """One object a team, of different shapes, at different places of a board."""
    places = random.sample(range(_BOARD * _BOARD), len(TEAMS))
    shapes = random.sample(SHAPES, len(TEAMS))
    return tuple(
        Thing(
            team,
            shape,
            (place % _BOARD + 0.5) / _BOARD + random.uniform(-_SHIFT, _SHIFT),
            (place // _BOARD + 0.5) / _BOARD + random.uniform(-_SHIFT, _SHIFT),
        )
        for team, shape, place in zip(TEAMS, shapes, places, strict=True)
    )
