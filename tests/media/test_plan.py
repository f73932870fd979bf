"""The plan of which packets to decode, on packets made up."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from reeltag.media.plan import Packets, ranges, targets


def packets(times, keys, hidden=()):
    return Packets(
        times=list(times),
        keys=[n in keys for n in range(len(times))],
        hidden=[n in hidden for n in range(len(times))],
        frame_seconds=1.0,
    )


def want(count, fps=None):
    return {"count": count, "fps": fps}


def test_a_keyframe_within_a_quarter_of_the_spacing_is_taken():
    clip = packets(range(40), {0, 10, 20, 30})
    assert targets(clip, want(2), 600) == [10, 30]  # ideal times are 10 and 30
    assert targets(clip, want(4), 600) == [3, 13, 23, 33]  # 5 ± 2.5: the cheapest in reach


def test_a_run_starts_at_its_keyframe_and_ends_at_its_last_target():
    clip = packets(range(40), {0, 10, 20, 30})
    assert ranges(clip, {3, 13, 15, 33}) == [(0, 3), (10, 15), (30, 33)]
    assert ranges(clip, {9, 10}) == [(0, 10)]


def test_a_picture_shown_before_its_keyframe_needs_the_group_before():
    times = [0, 1, 2, 3, 6, 4, 5, 7]  # packets 5 and 6 lead keyframe 4
    clip = packets(times, {0, 4})
    assert ranges(clip, {5}) == [(0, 5)]
    assert ranges(clip, {7}) == [(4, 7)]
    assert ranges(clip, {4, 5}) == [(0, 5)]
    assert ranges(clip, {1, 4, 5}) == [(0, 5)]


def test_hidden_packets_are_not_shown_and_unknown_times_count_up():
    assert targets(packets(range(10), {0}, hidden={0, 1, 2}), want(1), 600)[0] > 2
    clip = packets([None, None, None, None], {0})
    assert clip.seconds().tolist() == [0, 1, 2, 3]
    assert targets(clip, want(4), 600) == [0, 1, 2, 3]


def test_no_keyframe_at_all():
    assert ranges(packets(range(5), set()), {3}) == [(0, 3)]
    assert targets(packets([], set()), want(3), 600) == []


@given(
    times=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=60),
    keys=st.sets(st.integers(0, 59)),
    count=st.integers(1, 20),
    fps=st.none() | st.floats(0.01, 100),
)
def test_whatever_the_times_the_plan_is_possible(times, keys, count, fps):
    clip = packets(times, keys)
    chosen = targets(clip, want(count, fps), 600.0)
    assert 1 <= len(chosen) <= count
    assert len(set(chosen)) == len(chosen)
    runs = ranges(clip, set(chosen))
    assert all(first <= last for first, last in runs)
    assert all(a[1] < b[0] for a, b in pairwise(runs))
    covered = np.concatenate([np.arange(first, last + 1) for first, last in runs])
    assert set(chosen) <= set(covered.tolist())
    assert targets(clip, want(count, fps), 600.0) == chosen
