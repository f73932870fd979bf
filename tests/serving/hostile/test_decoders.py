"""A decoder that dies is replaced: its request is told, the next one is answered."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from pathlib import Path
from threading import Event, Thread

import pytest

from tests.media.clips import write_clip
from tests.serving.hostile.watch import children, held, refusal, sent, wait_until_dead
from tests.serving.served import Served, served


@pytest.fixture
def one(run: Path, clip: bytes, tmp_path: Path) -> Iterator[tuple[Served, int]]:
    """A service with one decoder, and the decoder's process."""
    others = set(children())
    with served(run, tmp_path, decoders=1) as made:
        assert sent(made, clip).status_code == 200
        (decoder,) = set(children()) - others
        yield made, decoder


def test_a_decoder_that_died_is_replaced_without_a_word(
    one: tuple[Served, int], clip: bytes
) -> None:
    service, decoder = one
    os.kill(decoder, signal.SIGKILL)
    wait_until_dead(decoder)
    assert sent(service, clip).status_code == 200
    assert decoder not in children()


def test_a_decoder_that_dies_at_work_costs_its_request_alone(
    one: tuple[Served, int], clip: bytes
) -> None:
    service, decoder = one
    before = held(service)
    os.kill(decoder, signal.SIGSTOP)
    with ThreadPoolExecutor(2) as asking:
        stuck = asking.submit(sent, service, clip)
        while service.client.get("/metrics").text.count('reeltag_queue_depth{queue="clips"} 1') < 1:
            pass
        behind = asking.submit(sent, service, clip)
        assert service.recommend(caption="a")["hashtags"]
        os.kill(decoder, signal.SIGKILL)
        told = refusal(stuck.result())
        assert told["kind"] == "clip"
        assert "signal 9" in told["message"]
        assert behind.result().status_code == 200
    assert held(service).files == 0
    assert held(service).children == before.children


def test_decoders_may_die_again_and_again(run: Path, tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "a.mp4", frames=50, size=(640, 360), noise=1).read_bytes()
    others, ended = set(children()), Event()
    struck: set[int] = set()
    with served(run, tmp_path, decoders=2) as service:

        def kill() -> None:
            while not ended.wait(0.05):
                for decoder in set(children()) - others:
                    with suppress(ProcessLookupError):
                        os.kill(decoder, signal.SIGKILL)
                        struck.add(decoder)

        killer = Thread(target=kill)
        killer.start()
        with ThreadPoolExecutor(2) as asking:
            answers = list(asking.map(lambda _: sent(service, clip), range(12)))
        ended.set()
        killer.join()
        for decoder in struck:
            wait_until_dead(decoder)
        for answer in answers:
            if answer.status_code != 200:
                assert refusal(answer)["kind"] == "clip"
        assert sent(service, clip).status_code == 200
