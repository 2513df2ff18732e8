#!/usr/bin/env python3
"""Take the screenshots of the mock's own page that the documentation shows, in both languages.

    .venv/bin/python scripts/site/screenshots.py [FOLDER]

What the mock is shown is recorded: a turn of a Codex with its defaults, and for the dashboard a week of turns
(dashboard_sample.py). Files go to docs/assets/images/. Those of the real Langfuse there are not made by this.
"""

import sys
import time
from base64 import b64decode, b64encode
from datetime import UTC, datetime
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

from playwright.sync_api import Browser, sync_playwright

import dashboard_sample
import recordings
from codex_langfuse.dashboard.api import DashboardApi
from codex_langfuse.dashboard.definition import built_in
from codex_langfuse.dashboard.keeping import keep
from codex_langfuse.keys.credentials import basic_authorization
from codex_langfuse.mock.server import RunningMock, running_mock
from codex_langfuse.relay.policy import Policy
from codex_langfuse.verify.connection import LangfuseConnection
from local_site import NO_CHROMIUM, find_chromium
from relay_documented import relayed

ROOT = Path(__file__).resolve().parents[2]
IMAGES = ROOT / "docs/assets/images"
RECORDING = [
    each for each in recordings.read(list(recordings.simple_turns().values())[-1]) if each.signal != "metrics"
]
#: Pixels of a picture that is higher than a screen.
HEIGHTS = {"mock-dashboard": 1180}
LOCALES = {"en": "en-GB", "zh": "zh-CN"}

# Half the bytes of a PNG, at a quality at which text stays sharp.
_AS_WEBP = """async picture => {
    const bitmap = await createImageBitmap(await (await fetch(`data:image/png;base64,${picture}`)).blob())
    const canvas = document.createElement("canvas")
    canvas.width = bitmap.width
    canvas.height = bitmap.height
    canvas.getContext("2d", { alpha: false }).drawImage(bitmap, 0, 0)
    return canvas.toDataURL("image/webp", 0.8).split(",")[1]
}"""


def as_webp(browser: Browser, picture: bytes) -> bytes:
    """Return a picture as WebP, given as PNG, which is what Playwright takes."""
    page = browser.new_page()
    converted = page.evaluate(_AS_WEBP, b64encode(picture).decode())
    page.close()
    return b64decode(converted)


def send(mock: RunningMock, signal: str, body: bytes) -> None:
    """Post one OTLP request; raises ``HTTPError`` when the mock refuses it."""
    pair = b64encode(f"{mock.public_key}:{mock.secret_key}".encode()).decode()
    headers = {"Authorization": f"Basic {pair}", "Content-Type": "application/x-protobuf"}
    urlopen(Request(f"{mock.url}/api/public/otel/v1/{signal}", body, headers)).close()


def replay(mock: RunningMock) -> None:
    """Send the recorded traces and logs to the mock, as Codex sent them."""
    for request in RECORDING:
        try:
            send(mock, request.signal, request.body)
        except HTTPError as refusal:
            if request.signal == "traces":
                raise
            refusal.close()  # logs get 404, which is what the page is to show


def relay(mock: RunningMock) -> str:
    """Send the recorded turn to the mock as the relay makes it; return the page's path of its trace."""
    for trace in relayed([request.message for request in RECORDING], Policy()):
        send(mock, "traces", trace)
    deadline = time.monotonic() + 10
    while not mock.store.traces and time.monotonic() < deadline:
        time.sleep(0.05)
    return f"/-/traces/{next(iter(mock.store.traces))}"


def dashboard(mock: RunningMock) -> str:
    """Send a week of turns, price their model, and make the dashboard; return the page's path of it."""
    with LangfuseConnection(mock.url, basic_authorization(mock.public_key, mock.secret_key)) as connection:
        connection.send("POST", "/api/public/models", dashboard_sample.MODEL)
        for trace in dashboard_sample.exports(datetime.now(UTC)):
            send(mock, "traces", trace)
        made = keep(DashboardApi(connection), built_in())
    return f"/-/dashboards/{made.dashboard}"


def main(folder: Path) -> None:
    """Take all of them, into ``folder``."""
    chromium = find_chromium()
    if chromium is None:
        sys.exit(NO_CHROMIUM)
    with (
        running_mock(page=True) as direct,
        running_mock(page=True) as relayed_to,
        running_mock(page=True) as of_a_week,
        sync_playwright() as playwright,
    ):
        replay(direct)
        shots = {
            "mock-sent": f"{direct.url}/-/sent",
            "relay-turn": relayed_to.url + relay(relayed_to),
            "mock-dashboard": of_a_week.url + dashboard(of_a_week),
        }
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        for language, locale in LOCALES.items():
            for name, address in shots.items():
                context = browser.new_context(locale=locale, viewport={"width": 1280, "height": 800})
                page = context.new_page()
                page.goto(f"{address}?lang={language}", wait_until="load")
                if name in HEIGHTS:
                    page.set_viewport_size({"width": 1280, "height": HEIGHTS[name]})
                pictures = {name: page.screenshot()}
                if name == "relay-turn":
                    page.set_viewport_size({"width": 420, "height": 1200})
                    pictures["relay-default"] = page.locator("ol.tree").screenshot()
                context.close()
                for taken, picture in pictures.items():
                    (folder / f"{taken}.{language}.webp").write_bytes(as_webp(browser, picture))
        browser.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else IMAGES)
