"""The words of the generated world: what each topic is called, and how people write about it."""

from __future__ import annotations

from dataclasses import dataclass

STYLES = ("plain", "dreamy", "german", "slang")
"""Schools of tagging; `Topic.tags` offers one hashtag a style for each thing worth saying."""


@dataclass(frozen=True)
class Topic:
    """One kind of clip."""

    tags: tuple[tuple[str, str, str, str], ...]
    """Things worth saying, most usual first, each as four hashtags in the order of `STYLES`."""
    captions: tuple[str, ...]
    """Paraphrases; `{thing}` and `{mood}` are filled in."""
    things: tuple[str, ...]
    elsewhere: tuple[str, ...]
    """Whole captions in German, Chinese or emoji."""


TOPICS: dict[str, Topic] = {
    "sea": Topic(
        (
            ("sea", "ocean", "meer", "beachlife"),
            ("waves", "saltwater", "wellen", "surfsup"),
            ("beach", "coastline", "strand", "beachday"),
            ("sailing", "horizon", "segeln", "boatlife"),
        ),
        (
            "{mood} by the water, just {thing}",
            "could listen to {thing} all day",
            "{thing} and salty air, {mood}",
            "back at the shore for {thing}",
            "the tide brought {thing} again",
        ),
        ("the waves", "a little boat", "the surf rolling in", "sand and foam"),
        ("Endlich wieder am Meer, Wind in den Haaren", "海边的一天，听海浪", "🌊⛵☀️"),
    ),
    "forest": Topic(
        (
            ("forest", "intothewoods", "wald", "treehugger"),
            ("trees", "evergreen", "baeume", "woodsy"),
            ("hiking", "wanderlust", "wandern", "hikelife"),
            ("birdsong", "morninglight", "waldbaden", "naturevibes"),
        ),
        (
            "{mood} walk under the trees",
            "lost the path, found {thing}",
            "{thing} between the trunks",
            "an hour in the woods with {thing}",
            "birds everywhere and {thing}, {mood}",
        ),
        ("mossy bark", "green light", "an old oak", "singing birds"),
        ("Im Wald ist es am schönsten", "森林里的鸟鸣", "🌲🐦🌿"),
    ),
    "city": Topic(
        (
            ("city", "citylights", "stadt", "urbanvibes"),
            ("night", "afterdark", "nachts", "nightowl"),
            ("skyline", "neondreams", "hochhaus", "towers"),
            ("traffic", "streetlife", "strassen", "rushhour"),
        ),
        (
            "{mood} downtown, {thing} until late",
            "{thing} from the bridge",
            "the skyline after midnight, {mood}",
            "streets full of {thing}",
            "walking home under {thing}",
        ),
        ("lit windows", "headlights", "neon signs", "towers and traffic"),
        ("Nachts in der Stadt, alles leuchtet", "城市的夜晚真美", "🌃🚗✨"),
    ),
    "kitchen": Topic(
        (
            ("cooking", "homemade", "kochen", "foodie"),
            ("recipe", "comfortfood", "rezept", "yum"),
            ("dinner", "slowfood", "abendessen", "dinnertime"),
            ("veggies", "farmtotable", "gemuese", "plantbased"),
        ),
        (
            "{mood} dinner: {thing} in the pan",
            "how I fry {thing}",
            "{thing}, garlic and a hot pan",
            "recipe for {thing} below, {mood}",
            "smells like {thing} in here",
        ),
        ("tomatoes", "peppers", "my grandmother's stew", "mushrooms and butter"),
        ("Heute gibt es Gemüsepfanne", "今晚做饭，很香", "🍳🌶️😋"),
    ),
    "football": Topic(
        (
            ("football", "beautifulgame", "fussball", "soccer"),
            ("goal", "matchwinner", "tor", "golazo"),
            ("matchday", "underthelights", "spieltag", "gameday"),
            ("team", "onefamily", "verein", "squad"),
        ),
        (
            "{thing} in the last minute!",
            "{mood} match on the pitch, {thing}",
            "watch {thing} before half time",
            "training again, working on {thing}",
            "the crowd after {thing}, {mood}",
        ),
        ("that goal", "a free kick", "the winning shot", "a perfect pass"),
        ("Was für ein Tor in der letzten Minute", "最后一分钟进球", "⚽🥅🔥"),
    ),
    "band": Topic(
        (
            ("livemusic", "soundwaves", "konzert", "gig"),
            ("band", "bandlife", "musik", "jamsession"),
            ("stage", "spotlight", "buehne", "onstage"),
            ("drums", "rhythm", "schlagzeug", "beats"),
        ),
        (
            "{mood} on stage, {thing}",
            "{thing} from last night's show",
            "rehearsal take of {thing}",
            "turn the volume up for {thing}",
            "the lights, the bass and {thing}",
        ),
        ("the drum solo", "our new song", "the chorus", "the encore"),
        ("Gestern beim Konzert, was für ein Abend", "昨晚的演唱会", "🎸🥁🎶"),
    ),
    "cat": Topic(
        (
            ("cat", "felinefriend", "katze", "catsofinsta"),
            ("pets", "furryfriend", "haustier", "petlife"),
            ("cute", "softpaws", "suess", "toebeans"),
            ("playtime", "lazyday", "spielen", "zoomies"),
        ),
        (
            "{mood} with this furball and {thing}",
            "she wants {thing}, again",
            "my cat versus {thing}",
            "paws on {thing}, {mood}",
            "whiskers, purring and {thing}",
        ),
        ("the ball of wool", "her dinner", "the sofa", "a nap"),
        ("Die Katze hat wieder gute Laune", "我家的猫太可爱了", "🐱🧶😻"),
    ),
    "snow": Topic(
        (
            ("snow", "winterwonderland", "schnee", "snowday"),
            ("winter", "frosty", "kalt", "wintervibes"),
            ("mountains", "alpineglow", "berge", "peakseason"),
            ("skiing", "firsttracks", "skifahren", "powder"),
        ),
        (
            "{mood} up here, {thing} all around",
            "{thing} since six in the morning",
            "cold fingers, but {thing}",
            "the mountain under {thing}",
            "woke up to {thing}, {mood}",
        ),
        ("fresh snow", "flakes falling", "white peaks", "ice and wind"),
        ("Endlich Schnee in den Bergen", "山上下雪了", "❄️🏔️⛷️"),
    ),
}

MOODS = ("quiet", "perfect", "a bit tired but happy", "slow", "wild", "so good", "easy")
VAGUE = (
    "no words needed",
    "today",
    "had to share this",
    "wait for it",
    "one of those days",
    "sound on!",
    "again tomorrow?",
    "what do you think",
)
ASIDES = ("", "", "", " :)", " - part 2", " (sorry for the shaky hands)", ", more soon", "!!")

TRENDS = ("springmood", "throwback", "oneminutevlog", "challenge2025")
"""Hashtags in fashion, each for a stretch of the days."""

CREATORS: tuple[tuple[str, str, tuple[str, str]], ...] = (
    ("Lena Brandt", "german", ("lenafilmt", "momente")),
    ("Tom Okafor", "plain", ("tomsdiary", "dailyclip")),
    ("Mara Silva", "dreamy", ("marasworld", "littlethings")),
    ("Jonas Weber", "german", ("unterwegs", "jonasvlog")),
    ("Aiko Tan", "dreamy", ("quietframes", "aikosees")),
    ("Sam Reed", "slang", ("samstyle", "vibesonly")),
    ("Nora Lind", "plain", ("noralog", "outandabout")),
    ("Diego Ruiz", "slang", ("diegotv", "letsgo")),
    ("Ines Moreau", "dreamy", ("inesnotes", "softlife")),
    ("Karl Haas", "german", ("karlsblick", "feierabend")),
    ("Priya Nair", "plain", ("priyaposts", "weekendclip")),
    ("Zoe Park", "slang", ("zoezone", "foryou")),
)
"""Name, style, and the two hashtags that are this creator's own."""
