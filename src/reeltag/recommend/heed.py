"""A post and recommended hashtags in; the frames, seconds of sound and words each heeded out.

Of models whose every hashtag weighs the steps of a sequence for itself (LOGO). A modality that
is one vector has one step: nothing is weighed there, and nothing is said.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from reeltag.data.batches import PostBatch
from reeltag.data.feature import Manifest
from reeltag.features.base import CaptionExtractor
from reeltag.features.registry import cached
from reeltag.features.single import Extracted
from reeltag.models.contract import Heeding, Model
from reeltag.recommend.reasons import Reason

_CLEARLY = 1.5
"""A step is named only where its share is so many times an even one."""
_ALIKE = {"visual": "all frames alike", "acoustic": "all sound alike", "textual": "all words alike"}


@dataclass(frozen=True)
class Step:
    """One step of a sequence: a moment or a stretch of the clip, or a word of the caption."""

    text: str
    facts: Mapping[str, Any]


def heeded(
    model: Model,
    posts: PostBatch,
    hashtags: Sequence[int],
    manifests: Mapping[str, Manifest],
    extracted: Extracted,
    caption: str,
) -> list[Reason | None]:
    """For each of `hashtags`, what it heeded most in the one post of `posts`.

    None where the model has no such attention, or the post nothing to choose among.
    """
    nothing: list[Reason | None] = [None] * len(hashtags)
    if not isinstance(model, Heeding) or not hashtags:
        return nothing
    asked = torch.tensor([list(hashtags)], device=model.device)
    found = model.attention_of(posts.to(model.device), asked)
    steps = steps_of(manifests, extracted, caption)
    shares = {
        modality: found[modality][0, :, : len(steps[modality])].double().cpu().numpy()
        for modality in found
        if len(steps.get(modality, ())) > 1
    }
    if not shares:
        return nothing
    return [
        reason_of({modality: (steps[modality], table[place]) for modality, table in shares.items()})
        for place in range(len(hashtags))
    ]


def reason_of(shares: Mapping[str, tuple[Sequence[Step], NDArray[np.float64]]]) -> Reason | None:
    """The strongest step of each modality in words, all of them as facts."""
    said, facts = [], {}
    for modality, (steps, each) in shares.items():
        if not each.any():
            continue
        best = int(each.argmax())
        clear = each[best] * np.count_nonzero(each) >= _CLEARLY
        said.append(f"{steps[best].text} ({each[best]:.0%})" if clear else _ALIKE[modality])
        facts[modality] = [
            {**step.facts, "share": round(float(share), 6)}
            for step, share in zip(steps, each, strict=True)
        ]
    return Reason("heed", f"heeded {', '.join(said)}", {"attention": facts}) if said else None


def steps_of(
    manifests: Mapping[str, Manifest], extracted: Extracted, caption: str
) -> dict[str, list[Step]]:
    """What the steps of each modality's sequence stand for, where the post has it."""
    found: dict[str, list[Step]] = {}
    for name, manifest in manifests.items():
        values = extracted.values.get(name)
        if manifest.kind != "sequence" or values is None:
            continue
        if manifest.modality == "textual":
            extractor = cached(manifest)
            words = extractor.units(caption) if isinstance(extractor, CaptionExtractor) else []
            steps = [Step(f"‘{word}’", {"word": word}) for word in words]
        elif manifest.modality == "visual" and len(values) == len(extracted.frame_times):
            steps = [_moment(time) for time in extracted.frame_times]
        else:
            what = "frames" if manifest.modality == "visual" else "sound"
            edges = np.linspace(0, extracted.duration, len(values) + 1).tolist()
            steps = [_stretch(what, *ends) for ends in itertools.pairwise(edges)]
        if len(steps) == len(values):
            found[manifest.modality] = steps
    return found


def _moment(time: float) -> Step:
    return Step(f"the frame at {time:.1f} s", {"time": round(time, 3)})


def _stretch(what: str, start: float, end: float) -> Step:
    text = f"the {what} from {start:.1f} to {end:.1f} s"
    return Step(text, {"start": round(start, 3), "end": round(end, 3)})
