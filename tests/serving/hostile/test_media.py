"""Damaged media files: each is answered or refused, and nothing of it stays."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.serving.hostile.mutants import mutants, originals
from tests.serving.hostile.watch import Held, assert_unharmed, refusal, sent
from tests.serving.served import Served


@pytest.mark.parametrize("count", [60, pytest.param(500, marks=pytest.mark.long)])
def test_damaged_files_are_answered_or_refused(
    service: Served, clip: bytes, before: Held, tmp_path: Path, count: int
) -> None:
    files = originals(tmp_path)
    for name, content in files.items():
        assert sent(service, content).status_code == (422 if name == "png" else 200), name

    def send(mutant: tuple[str, bytes]) -> int:
        name, content = mutant
        answer = sent(service, content)
        if answer.status_code != 200:
            assert refusal(answer)["kind"] == "clip", name
        return answer.status_code

    with ThreadPoolExecutor(2) as senders:
        answers = list(senders.map(send, mutants(files, count, seed=count)))
    assert answers.count(200) >= count / 10
    assert answers.count(422) >= count / 10
    assert_unharmed(service, clip, before)
