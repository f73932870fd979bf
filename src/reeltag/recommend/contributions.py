"""What a model's score is made of and the facts behind it in; reasons in plain words out.

Of models that take their scores apart (`reeltag.models.explaining`). Every reason is a part
that raised the hashtag by a visible share, with a fact that this part rests on:

    history    how often the user used it           bll        how lately
    own-knn    posts of the user like this one      similar    posts of alike content
    text-knn   posts of alike captions              word       words that went with it
    tag-names  what the caption spells of it        ease       hashtags that it goes with
    ridge      posts like this one                  context    posts with this music, place, hour
    popular    how often everybody used it          agreement  how many scorers have it first

What `ridge` added is shared out: its score is a sum of what the user's posts, posts like this
one and all posts say. A part that has no such fact is left out, and so are parts that lowered
the hashtag.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from difflib import SequenceMatcher
from typing import Any

import torch

from reeltag.data.batches import PostBatch
from reeltag.data.ragged import Ragged
from reeltag.data.vocabulary import Vocabulary
from reeltag.models.contract import Encoded
from reeltag.models.explaining import Contributing, Facts
from reeltag.recommend.reasons import Reason
from reeltag.training.evidence import Evidence
from reeltag.words import tokens

_VISIBLE = 0.1
"""A part is a reason from this share of all that raised the hashtag."""
_MOST = 4
_KINDS = {
    "user-history": "history",
    "popularity": "popular",
    "content-knn": "similar",
    "caption-words": "word",
}
"""Reasons of several groups that rest on the same facts are one; others have their group's name."""
_RIDGE = {"own": "history", "alike": "ridge", "all": "popular"}
"""The kind of reason that each term of ridge's score is."""
_SHARED = {"music": "with this music", "place": "at this place", "hour": "at this hour"}
Said = tuple[str, dict[str, Any]] | None


class ModelReasons:
    """Puts contributions and facts into words; names are a run's, post ids its evidence's."""

    def __init__(self, evidence: Evidence, hashtags: Vocabulary, words: Vocabulary) -> None:
        self.evidence, self.hashtags, self.words = evidence, hashtags, words

    def of(
        self,
        model: Contributing,
        ids: Sequence[Sequence[int]],
        posts: PostBatch,
        captions: Sequence[str],
        encoded: Encoded,
    ) -> list[list[list[Reason]]]:
        """Reasons for each hashtag of `ids[n]`, for post n of the B in `posts`, strongest first.

        encoded: the posts as the model encoded and scored them.
        """
        posts = posts.to(model.device)
        # What is beyond a post's own hashtags is asked about and not read.
        asked = Ragged.from_lists(ids).padded(0).to(model.device)
        found = model.contributions(encoded, asked)
        told = []
        for row, (tags, caption) in enumerate(zip(ids, captions, strict=True)):
            one = torch.tensor([row], device=model.device)
            mine = {name: value[row : row + 1] for name, value in encoded.items()}
            values = found.values[row, : len(tags)].tolist()
            facts = model.facts_by_group(
                posts.select(one), mine, asked[row, : len(tags)], _visible(found.groups, values)
            )
            told.append(
                [
                    self._strongest(tag, *_by_kind(found.groups, added, facts, place), caption)
                    for place, (tag, added) in enumerate(zip(tags, values, strict=True))
                ]
            )
        return told

    def _strongest(
        self, tag: int, added: dict[str, float], known: dict[str, Facts], caption: str
    ) -> list[Reason]:
        raised = sum(value for value in added.values() if value > 0)
        reasons = []
        for kind in sorted(added, key=added.__getitem__, reverse=True):
            if added[kind] <= 0 or added[kind] < _VISIBLE * raised:
                break
            said = self._said(kind, known[kind], tag, caption) if known.get(kind) else None
            if said is not None:
                reasons.append(Reason(kind, *said, contribution=added[kind] / raised))
        return reasons[:_MOST]

    def _said(self, kind: str, facts: Facts, tag: int, caption: str) -> Said:
        """The fact in words, and as JSON with names for ids; None where it says nothing."""
        match kind:
            case "history":
                return f"you used it on {facts['uses']} of your {facts['posts']} posts", facts
            case "bll":
                ago = facts["ago"]
                when = "on your last post" if ago == 1 else f"{ago} posts ago"
                return f"you used it {when}", facts
            case "own-knn":
                return self._voted(facts, "of your", "most like this one")
            case "text-knn":
                return self._voted(facts, "of the", "with the most similar captions")
            case "similar":
                return self._voted(facts, "of the", "with the most similar content")
            case "word":
                return self._word(facts)
            case "tag-names":
                return self._spelt(facts, tag, caption)
            case "ease":
                names = [self.hashtags.names[other] for other in facts["hashtags"]]
                text = f"goes with {_listed([f'#{name}' for name in names])}, which you use"
                return text, {"hashtags": names, "weights": _rounded(facts["weights"])}
            case "related":
                names = [self.hashtags.names[other] for other in facts["hashtags"]]
                text = f"goes with {_listed([f'#{name}' for name in names])}"
                return text, {"hashtags": names, "weights": _rounded(facts["weights"])}
            case "tag-meaning":
                means = "its name and its posts mean" if facts["posts"] else "its name means"
                told = {"cosine": round(facts["cosine"], 3), "posts": facts["posts"]}
                return f"{means} something like the caption", told
            case "context":
                return _with_context(facts)
            case "ridge" if "count" in facts:
                return self._voted(facts, "of the", "most like this one")
            case "popular":
                return self._popular(facts, tag)
            case "agreement" if facts["count"] > 1:
                text = "{count} of {of} ways of scoring have it among their first {first}"
                return text.format(**facts), facts
        return None

    def _posts(self, positions: list[int], cosines: list[float]) -> list[tuple[str, float]]:
        """Those posts whose ids are known, with their cosines."""
        posts = self.evidence.posts["post"]
        pairs = zip((posts[place] for place in positions), _rounded(cosines), strict=True)
        return [(post, cosine) for post, cosine in pairs if post is not None]

    def _voted(self, facts: Facts, whose: str, which: str) -> Said:
        count, of = facts["count"], facts["of"]
        verb = "carries" if count == 1 else "carry"
        text = f"{count} {whose} {of} post{'s' if of > 1 else ''} {which} {verb} it"
        known = self._posts(facts["positions"], facts["cosines"])
        posts, cosines = [post for post, _ in known], [cosine for _, cosine in known]
        return text, {"count": count, "of": of, "posts": posts, "cosines": cosines}

    def _word(self, facts: Facts) -> Said:
        first, *others = [
            {**spoken, "word": self.words.names[spoken["word"]]} for spoken in facts["words"]
        ]
        text = "‘{word}’ in the caption: {posts} of {of} posts with that word carry it"
        return text.format(**first), {**first, **({"others": others} if others else {})}

    def _spelt(self, facts: Facts, tag: int, caption: str) -> Said:
        name = self.hashtags.names[tag]
        words = [self.words.names[word] for word in facts["words"]]
        told = {"whole": facts["whole"], "words": words, "pieces": round(facts["pieces"], 3)}
        if facts["whole"]:
            return f"the caption spells ‘{name}’", told
        quoted = [f"‘{word}’" for word in words or filter(None, [_common(name, caption)])]
        if not quoted:
            return None
        verb = "is" if len(quoted) == 1 else "are"
        return f"{_listed(quoted)} of the caption {verb} in its name", told

    def _popular(self, facts: Facts, tag: int) -> Said:
        uses = facts.get("uses", int(self.hashtags.counts[tag]))
        of = self.evidence.posts.height
        text = f"used on {uses:,} of {of:,} training posts"
        return text, {"uses": uses, "posts": of}


def _visible(groups: Sequence[str], values: Sequence[Sequence[float]]) -> set[str]:
    """The groups whose facts can be a reason for any hashtag: those of a kind that raised it.

    What `ridge` added may be that of other kinds: it counts for them all.
    """
    kinds = [_KINDS.get(group, group) for group in groups]
    seen: set[str] = set()
    for added in values:
        shared = sum(max(0.0, v) for g, v in zip(groups, added, strict=True) if g == "ridge")
        sums: defaultdict[str, float] = defaultdict(float)
        for kind, value in zip(kinds, added, strict=True):
            sums[kind] += value
        raised = sum(value for value in sums.values() if value > 0)
        for kind in sums:
            most = sums[kind] + (shared if kind in _RIDGE.values() else 0.0)
            if most > 0 and most >= _VISIBLE * (raised - shared):
                seen.add(kind)
    return {group for group, kind in zip(groups, kinds, strict=True) if kind in seen} | {"ridge"}


def _by_kind(
    groups: Sequence[str], values: Sequence[float], facts: dict[str, list[Facts]], place: int
) -> tuple[dict[str, float], dict[str, Facts]]:
    """What each kind of reason added, and its facts, for the hashtag at `place`."""
    added: defaultdict[str, float] = defaultdict(float)
    known: defaultdict[str, Facts] = defaultdict(dict)
    for group, value in zip(groups, values, strict=True):
        about = facts[group][place] if group in facts else {}
        shares = _ridge_shares(about) if group == "ridge" and value > 0 else {}
        kind = _KINDS.get(group, group)
        known[kind] |= about
        for other, share in (shares or {kind: 1.0}).items():
            added[other] += share * value
    return added, known


def _with_context(facts: Facts) -> Said:
    first, *others = facts["contexts"]
    verb = "carries" if first["posts"] == 1 else "carry"
    text = f"{first['posts']} of {first['of']} posts {_SHARED[first['kind']]} {verb} it"
    return text, {**first, **({"others": others} if others else {})}


def _ridge_shares(facts: Facts) -> dict[str, float]:
    """What ridge adds is shared out among the terms of its score that raise it."""
    terms = {kind: facts[term] for term, kind in _RIDGE.items()}
    raising = {kind: term for kind, term in terms.items() if term > 0}
    return {kind: term / sum(raising.values()) for kind, term in raising.items()}


def _common(name: str, caption: str) -> str:
    """The longest run of letters that the name shares with a word of the caption; "" for one."""
    runs = [""]
    for word in tokens(caption):
        match = SequenceMatcher(None, name, word, autojunk=False).find_longest_match()
        runs.append(name[match.a : match.a + match.size])
    longest = max(runs, key=len)
    return longest if len(longest) > 1 else ""


def _listed(names: Sequence[str]) -> str:
    return " and ".join(filter(None, [", ".join(names[:-1]), *names[-1:]]))


def _rounded(values: Sequence[float]) -> list[float]:
    return [round(value, 3) for value in values]
