"""What every pool of workers keeps to; the tests of a pool inherit `PoolContract`."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest
from tests.features.pool_workers import Say, Talker

from reeltag.errors import ReelTagError


class PoolContract:
    """`pool` is the class under test; two workers fit in."""

    def answers(self, pool, log: Path, words: list[str], workers: int = 2) -> dict[str, str]:
        with pool(partial(Talker, log), workers, len(words)) as running:
            return {task.word: answer for task, answer in running.run(map(Say, words))}

    def test_every_task_is_answered_once(self, pool, tmp_path):
        words = [f"word {n}" for n in range(30)]
        found = self.answers(pool, tmp_path / "log", words)
        assert found == {word: word.upper() for word in words}
        assert len((tmp_path / "log").read_text().splitlines()) == len(words)

    def test_a_death_costs_the_task_under_way_alone(self, pool, tmp_path):
        words = ["a", "die once", "b", "die", "fail", "c"]
        found = self.answers(pool, tmp_path / "log", words, workers=1)
        assert found == {
            "a": "A",
            "b": "B",
            "c": "C",
            "die once": "DIE ONCE",
            "die": "the worker busy with it died 2 times",
            "fail": "ValueError: not that word",
        }
        told = [line.rpartition(" ")[0] for line in (tmp_path / "log").read_text().splitlines()]
        assert sorted(told) == sorted([*words, "die once", "die"])

    def test_no_more_tasks_are_taken_than_workers_can_do(self, pool, tmp_path):
        taken = answered = 0

        def tasks():
            nonlocal taken
            for n in range(12):
                taken += 1
                yield Say(str(n))

        with pool(partial(Talker, tmp_path / "log"), 2, 12) as running:
            for _ in running.run(tasks()):
                answered += 1
                assert taken - answered <= 2
        assert answered == 12

    @pytest.mark.parametrize(
        ("start", "message"), [("refuse", "It refuses to start"), ("die", "do not start")]
    )
    def test_workers_that_cannot_start_end_the_run(self, pool, tmp_path, start, message):
        with (
            pool(partial(Talker, tmp_path / "log", start), 1, 1) as running,
            pytest.raises(ReelTagError, match=message),
        ):
            list(running.run([Say("a")]))
