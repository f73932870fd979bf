"""Take the picture of the page that the documents show.

    python scripts/screenshot.py ADDRESS CLIP PICTURE.png

ADDRESS is that of `reeltag serve runs/demo`, CLIP one of build/demo/clips, whose sidecar says who
posted it and with which caption. Needs Debian's Chromium.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from playwright.sync_api import sync_playwright

WINDOW = {"width": 760, "height": 1146}


def main(address: str, clip: Path, picture: Path) -> None:
    """Ask for `clip`, take the first hashtags, and keep what is seen."""
    said = json.loads(clip.with_suffix(".info.json").read_text(encoding="utf-8"))
    with sync_playwright() as play:
        browser = play.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_page(viewport=WINDOW, color_scheme="light")
        page.goto(address)
        page.set_input_files("#clip", clip)
        page.fill("#user", said["uploader_id"])
        page.fill("#caption", said["description"].partition("#")[0].strip())
        page.click("#ask")
        page.wait_for_selector("#chips .take")
        for take in page.locator("#chips .take").all()[:3]:
            take.click()
        page.evaluate("document.activeElement.blur()")
        page.wait_for_timeout(500)
        page.evaluate("scrollTo(0, 0)")
        page.screenshot(path=picture)
        browser.close()


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]))
