"""The page in a real browser: what a creator does with it, by mouse and by keyboard."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

from reeltag.experiments.train import train_run
from tests.media.clips import write_clip
from tests.recommend.filmed import filmed
from tests.serving.served import Served, served

CHROMIUM = Path("/usr/bin/chromium")
PHONE = {"width": 360, "height": 740}


@pytest.fixture(scope="module")
def service(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    folder = tmp_path_factory.mktemp("paged")
    captions = [("harbour at night", "cooking noodles")[n % 2] for n in range(24)]
    with filmed(folder, captions, acoustic=["logmel"]) as dataset:
        settings = {"rounds": 5, "least_rows": 3, "candidates": 6}
        train_run(dataset, "main", "reeltag", settings, folder / "run")
    with served(folder / "run", tmp_path_factory.mktemp("served")) as made:
        yield made


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium; the test is skipped, visibly, where it is absent."""
    if not CHROMIUM.exists():
        pytest.skip("Chromium is not installed (Debian: apt-get install chromium)")
    with sync_playwright() as play:
        found = play.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield found
        found.close()


class Seen:
    """What a page asked for, and what its console complained of."""

    def __init__(self, page: Page) -> None:
        self.addresses: list[str] = []
        self.complaints: list[str] = []
        page.on("request", lambda request: self.addresses.append(request.url))
        page.on("console", lambda said: self._hear(said.type, said.text))
        page.on("pageerror", lambda fault: self.complaints.append(str(fault)))

    def _hear(self, kind: str, text: str) -> None:
        if kind in ("error", "warning"):
            self.complaints.append(text)


@pytest.fixture
def page(browser: Browser, service: Served) -> Iterator[tuple[Page, Seen]]:
    context = browser.new_context(viewport=PHONE, color_scheme="dark")
    opened = context.new_page()
    seen = Seen(opened)
    yield opened, seen
    context.close()
    ours = (service.address + "/", "data:image/jpeg;base64,")
    assert [address for address in seen.addresses if not address.startswith(ours)] == []
    assert seen.complaints == []


def chips(page: Page) -> list[str]:
    """The hashtags of the chips."""
    return page.locator("#chips .take b").all_inner_texts()


def test_upload_accept_publish_and_the_next_is_changed(
    service: Served, page: tuple[Page, Seen], tmp_path: Path
) -> None:
    opened, _ = page
    clip = write_clip(tmp_path / "clip.mp4", frames=25, noise=5)
    opened.goto(service.address)
    opened.set_input_files("#clip", clip)
    expect(opened.locator("#chosen")).to_contain_text("clip.mp4")
    opened.fill("#user", "creator")
    opened.fill("#caption", "harbour")
    opened.click("#ask")
    expect(opened.locator("#result")).to_be_visible()
    expect(opened.locator("#film img").first).to_be_visible()
    before = chips(opened)
    assert before
    assert all(opened.locator("#chips .why").all_inner_texts())
    expect(opened.locator("#found")).to_be_focused()
    opened.locator("#chips .take").first.click()
    opened.fill("#add", "#NeverSeen")
    opened.locator("#adding button").click()
    expect(opened.locator("#line")).to_contain_text("NeverSeen")
    opened.click("#publish")
    expect(opened.locator("#done")).to_contain_text("Thank you")
    opened.click("#ask")
    expect(opened.locator("#chips .take b", has_text="#neverseen")).to_be_visible()
    assert chips(opened) != before
    wide = opened.evaluate("document.documentElement.scrollWidth")
    assert wide <= PHONE["width"]


def test_the_keyboard_is_enough(service: Served, page: tuple[Page, Seen]) -> None:
    opened, _ = page
    opened.goto(service.address)
    keys = opened.keyboard

    def reach(name: str) -> None:
        for _ in range(40):
            if opened.evaluate("document.activeElement.id") == name:
                return
            keys.press("Tab")
        raise AssertionError(f"{name} is not reached by Tab")

    reach("user")
    keys.type("typist")
    reach("caption")
    keys.type("cooking noodles")
    reach("ask")
    keys.press("Enter")
    expect(opened.locator("#found")).to_be_focused()
    keys.press("Tab")
    keys.press("Space")
    first = opened.locator("#chips .take").first
    expect(first).to_have_attribute("aria-pressed", "true")
    taken = chips(opened)[0]
    keys.press("Tab")
    keys.press("Tab")
    second = chips(opened)[1]
    keys.press("Tab")
    keys.press("Enter")  # its cross: the chip goes
    expect(opened.locator("#chips .take b", has_text=second)).to_have_count(0)
    reach("publish")
    keys.press("Enter")
    expect(opened.locator("#done")).to_contain_text("Thank you")
    history = service.client.get("/v1/users/typist").json()
    assert [each["hashtag"] for each in history["hashtags"]] == [taken.removeprefix("#")]


def test_what_is_no_clip_is_told(service: Served, page: tuple[Page, Seen], tmp_path: Path) -> None:
    opened, _ = page
    (tmp_path / "no.mp4").write_bytes(b"no clip")
    opened.goto(service.address)
    opened.set_input_files("#clip", tmp_path / "no.mp4")
    opened.click("#ask")
    expect(opened.locator("#trouble")).to_contain_text("The clip was not read")


def test_the_dashboard_tells_what_happened(service: Served, page: tuple[Page, Seen]) -> None:
    opened, _ = page
    service.recommend(caption="harbour")
    opened.goto(f"{service.address}/dashboard")
    expect(opened.locator("#tiles div")).to_have_count(7)
    expect(opened.locator("#minutes rect")).to_have_count(60)
    expect(opened.locator("#stages")).to_contain_text("score")
