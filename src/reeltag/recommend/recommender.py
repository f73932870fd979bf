"""A trained run, a clip, a caption and a user in; ranked hashtags with reasons out."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from reeltag.data.batches import PostBatch, collate
from reeltag.errors import ConfigError
from reeltag.evaluation.ranking import block_size
from reeltag.features.single import features_of
from reeltag.hashtags import find, normalise, strip
from reeltag.models.contract import Encoded
from reeltag.models.explaining import Contributing
from reeltag.models.layers.top import top_k
from reeltag.recommend.answers import Answer, Question, Recommendation
from reeltag.recommend.contributions import ModelReasons
from reeltag.recommend.heed import heeded
from reeltag.recommend.look import look_of
from reeltag.recommend.posts import (
    Circumstances,
    NewPost,
    Values,
    check_observes,
    post_of,
    publish,
)
from reeltag.recommend.reasons import Reason, Reasons
from reeltag.training.description import EVIDENCE, check_run
from reeltag.training.evidence import Evidence, load_evidence
from reeltag.training.run import Run, load_run


@dataclass(frozen=True)
class Read:
    """A question as the model sees it; `posts` is the one post."""

    question: Question
    user: int
    """Id of the user, -1 for one who is not known."""
    posts: PostBatch
    warnings: list[str]
    began: float
    """When, by `time.perf_counter`, work on the post began."""


class Recommender:
    """Recommends from one run. Loading needs the run folder alone, not its data."""

    def __init__(self, run: Run, evidence: Evidence | None = None) -> None:
        self.run = run
        if evidence is not None:
            self.evidence = evidence

    @classmethod
    def load(cls, path: Path | str, device: str = "auto") -> Recommender:
        """Open a run. Raises `RunError` where it is absent or damaged."""
        return cls(load_run(path, device))

    @cached_property
    def evidence(self) -> Evidence:
        """What reasons are read from, opened when first asked for."""
        run = self.run
        check_run(run.path, run.description, evidence=True)
        return load_evidence(run.path / EVIDENCE, run.model.sizes)

    def _why(
        self, reads: Sequence[Read], ids: Sequence[list[int]], encoded: Encoded
    ) -> list[list[list[Reason]]]:
        """Reasons of the model's own where it has any, counted ones for other hashtags."""
        run, texts = self.run, [read.question.text for read in reads]
        told: list[list[list[Reason]]] = [[[] for _ in tags] for tags in ids]
        if isinstance(run.model, Contributing) and reads:
            own = ModelReasons(self.evidence, run.hashtags, run.words)
            posts = collate([read.posts for read in reads])
            told = own.of(run.model, ids, posts, texts, encoded)
        counted = Reasons(self.evidence, run.hashtags)
        whole = []
        for read, tags, found, text in zip(reads, ids, told, texts, strict=True):
            untold = [tag for tag, reasons in zip(tags, found, strict=True) if not reasons]
            more = iter(counted.of(untold, read.posts, read.user, text) if untold else ())
            whole.append([reasons or next(more) for reasons in found])
        return whole

    def recommend(
        self,
        clip: Path | str | None = None,
        caption: str | None = None,
        user: str | None = None,
        k: int = 10,
        explain: bool = True,
        profile: Mapping[str, Any] | None = None,
        music: str | None = None,
        place: str | None = None,
        at: int | None = None,
    ) -> list[Recommendation]:
        """The k best hashtags for a post; see `answer` for warnings and timings."""
        return self.answer(clip, caption, user, k, explain, profile, music, place, at).hashtags

    def answer(
        self,
        clip: Path | str | None = None,
        caption: str | None = None,
        user: str | None = None,
        k: int = 10,
        explain: bool = True,
        profile: Mapping[str, Any] | None = None,
        music: str | None = None,
        place: str | None = None,
        at: int | None = None,
    ) -> Answer:
        """Recommend hashtags for one post.

        Args:
            clip: a video file; None where there is none.
            caption: its text; hashtags in it are taken out, as they were in training.
            user: who posts; an unknown one is treated as somebody new.
            k: how many hashtags, at most the size of the vocabulary.
            explain: add reasons.
            profile: what is known about the user (`{"gender": "f", "age": 23}`); each field
                takes the place of what the run knows of it. Only models that read it look at it.
            music, place: of the post, as they were written in the training data.
            at: when it is published, in seconds since 1970; default now.

        Whatever is missing or cannot be read is scored as missing and said in `warnings`.
        """
        return self.answers([user], clip, caption, k, explain, profile, music, place, at)[0]

    def answers(
        self,
        users: Sequence[str | None],
        clip: Path | str | None = None,
        caption: str | None = None,
        k: int = 10,
        explain: bool = True,
        profile: Mapping[str, Any] | None = None,
        music: str | None = None,
        place: str | None = None,
        at: int | None = None,
    ) -> list[Answer]:
        """What `answer` says of one post for each of `users`; the clip is read once.

        `profile` is that of the first of them.
        """
        _check(k)
        text = strip(caption) if caption else ""
        about = Circumstances(int(time.time()) if at is None else at, music, place)
        start = time.perf_counter()
        manifests = list(self.run.manifests.values())
        extracted = features_of(manifests, Path(clip) if clip else None, text or None)
        reading = time.perf_counter() - start
        asked = [
            Question(user, extracted, text, about, k, explain, None if n else profile, reading)
            for n, user in enumerate(users)
        ]
        # One by one: an answer then is the same, to the bit, whoever else is asked for.
        return [self.respond([self.read(question)])[0] for question in asked]

    def read(self, question: Question) -> Read:
        """What the model is to see of a question.

        Raises `ConfigError` for an impossible k or profile, `MissingFeatureError` for features
        that are none of the run's.
        """
        _check(question.k)
        began = time.perf_counter() - question.seconds
        user, extracted, known = question.user, question.extracted, self.run.users.index
        warnings = list(extracted.warnings)
        user_id = self.run.users.id_of(user)
        if user is not None and user_id < 0 and known:
            warnings.append(f"user {user!r} is not among the {len(known)} known ones")
        if extracted.values and not any(v is not None for v in extracted.values.values()):
            warnings.append("no feature of this post could be read: scored by its user alone")
        fields = self._fields(user_id, question.profile)
        warnings += self._strange(fields, question.profile) + question.about.strange(self.run)
        posts = post_of(self.run, user_id, extracted.values, question.text, question.about, fields)
        return Read(question, user_id, posts, warnings, began)

    def respond(self, reads: Sequence[Read]) -> list[Answer]:
        """Answers to questions that this recommender read: ranked and explained together."""
        size = block_size(self.run.model)
        answers = []
        for start in range(0, len(reads), size):
            block = reads[start : start + size]
            begin = time.perf_counter()
            encoded, ranked = self._rank(block)
            scoring = 1e3 * (time.perf_counter() - begin)
            explained = [n for n, read in enumerate(block) if read.question.explain]
            asked, ids = [block[n] for n in explained], [ranked[n][0] for n in explained]
            mine = {name: value[explained] for name, value in encoded.items()}
            whys = dict(zip(explained, self._why(asked, ids, mine), strict=True))
            answers += [
                self._tell(read, ids, scores, whys.get(n), scoring)
                for n, (read, (ids, scores)) in enumerate(zip(block, ranked, strict=True))
            ]
        return answers

    @torch.no_grad()
    def _rank(self, reads: Sequence[Read]) -> tuple[Encoded, list[tuple[list[int], list[float]]]]:
        """What the model encoded; ids and scores of each one's best hashtags."""
        model = self.run.model
        encoded = model.encode(collate([read.posts for read in reads]).to(model.device))
        scores = model.score_all(encoded).float().cpu()
        best = top_k(scores, max(read.question.k for read in reads))
        ids, values = best.tolist(), scores.gather(1, best).tolist()
        return encoded, [
            (row[: read.question.k], score[: read.question.k])
            for read, row, score in zip(reads, ids, values, strict=True)
        ]

    def _tell(
        self,
        read: Read,
        ids: list[int],
        scores: list[float],
        why: list[list[Reason]] | None,
        scoring: float,
    ) -> Answer:
        """One question's answer; its block was scored in `scoring` milliseconds."""
        question, posts, extracted = read.question, read.posts, read.question.extracted
        look = look_of(self.run.model, posts, extracted)
        reasons: list[list[Reason]] = [[] for _ in ids]
        if why is not None:
            seen, text = None if look is None else look.reason(), question.text
            heeds = heeded(self.run.model, posts, ids, self.run.manifests, extracted, text)
            reasons = [
                [*said, *(looked for looked in (heed, seen) if looked is not None)]
                for said, heed in zip(why, heeds, strict=True)
            ]
        names = self.run.hashtags.names
        return Answer(
            user=question.user,
            known_user=read.user >= 0,
            hashtags=[
                Recommendation(rank, names[tag], score, why)
                for rank, (tag, score, why) in enumerate(
                    zip(ids, scores, reasons, strict=True), start=1
                )
            ],
            warnings=read.warnings,
            timing_ms={
                "decode": extracted.timing_ms.get("decode", 0.0),
                "features": extracted.timing_ms.get("features", 0.0),
                "score": scoring,
                "total": 1e3 * (time.perf_counter() - read.began),
            },
            frames=extracted.frames,
            look=look,
        )

    def observe(
        self,
        caption: str | None,
        user: str | None,
        hashtags: Sequence[str] = (),
        clip: Path | str | None = None,
        *,
        values: Values | None = None,
        music: str | None = None,
        place: str | None = None,
        at: int | None = None,
        post: str | None = None,
    ) -> None:
        """Take in a post that was published: what is recommended next reflects it.

        Args:
            caption: its text; hashtags in it are the post's own, too.
            user: who posted; somebody new becomes known. None: nobody's.
            hashtags: as they are written; new ones can be recommended from now on.
            clip: a video file; None where there is none.
            values: its features by name, where they are known: clip and caption are not read.
            music, place: of the post; new ones stay unknown.
            at: when, in seconds since 1970; default now.
            post: its id, for reasons.

        Only this object learns of it: the run's folder stays as it is. Not to be called while
        another thread recommends. Raises `RunError` for a model that cannot observe.
        """
        check_observes(self.run)
        text = strip(caption) if caption else ""
        tags = [normalise(tag) for tag in (*find(caption or ""), *hashtags)]
        if values is None:
            values = features_of(list(self.run.manifests.values()), clip, text or None).values
        about = Circumstances(int(time.time()) if at is None else at, music, place)
        tags = list(dict.fromkeys(filter(None, tags)))
        name = post or f"observed-{self.evidence.posts.height + 1}"
        self.publish([NewPost(user, tags, text, values, about, name)])

    def publish(self, posts: Sequence[NewPost]) -> None:
        """`observe`, of posts whose features are ready, one after the other.

        Raises `RunError` for a model that cannot observe, `MissingFeatureError` for features
        that are none of the run's; nothing is learned of any of the posts then.
        """
        self.run, self.evidence = publish(self.run, self.evidence, posts)

    def _fields(self, user: int, profile: Mapping[str, Any] | None) -> Tensor:
        fields = self.run.fields
        known = self.run.profiles[user] if user >= 0 else torch.zeros(len(fields.fields)).long()
        if not profile:
            return known
        told = fields.of(profile)
        named = torch.tensor([field.name in profile for field in fields.fields])
        return torch.where(named, told, known)

    def _strange(self, codes: Tensor, profile: Mapping[str, Any] | None) -> list[str]:
        """What was said about the user that no training user had."""
        told = profile or {}
        return [
            f"{field.name} {told[field.name]!r} was never seen in training: treated as unknown "
            f"(seen: {', '.join(field.values[:10])}{' ...' if len(field.values) > 10 else ''})"
            for field, code in zip(self.run.fields.fields, codes.tolist(), strict=True)
            if code == 0 and told.get(field.name) is not None
        ]


def _check(k: int) -> None:
    if k < 1:
        raise ConfigError(f"Got k={k}, expected 1 or more.")
