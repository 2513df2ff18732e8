"""The bytes of a page on a first visit, as Chromium counts them, from a host that compresses with gzip."""

import gzip
import sys
from functools import cache
from http.server import SimpleHTTPRequestHandler
from pathlib import Path

from playwright.sync_api import Browser, Request, ViewportSize, sync_playwright

from local_site import NO_CHROMIUM, find_chromium, serving

#: The most that a page of each kind may take, in bytes.
LIMITS = {"text": 150_000, "pictures": 350_000, "diagram": 860_000}

#: What a host compresses: GitHub Pages and nginx's usual settings do.
_COMPRESSED = {".css", ".html", ".js", ".json", ".svg", ".txt", ".md", ".xml"}
_SCREEN: ViewportSize = {"width": 1440, "height": 900}
_SCROLL = """async () => {
    for (let y = 0; y < document.body.scrollHeight; y += innerHeight) {
        scrollTo(0, y)
        await new Promise(requestAnimationFrame)
    }
}"""


def kind(html: str) -> str:
    """Return which limit holds for a page, given its HTML."""
    article = html.partition("<article")[2].partition("</article>")[0]
    if '<pre class="mermaid"' in article:
        return "diagram"
    return "pictures" if "<img" in article else "text"


@cache
def body(file: Path) -> bytes:
    """Return what goes over the wire of a file, without headers."""
    content = file.read_bytes()
    return gzip.compress(content, 6) if file.suffix in _COMPRESSED else content


class CompressingHost(SimpleHTTPRequestHandler):
    """Serves files compressed."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        """Answer with the file, or 404."""
        file = Path(self.translate_path(self.path))
        if file.is_dir():
            file /= "index.html"
        if not file.is_file():
            return self.send_error(404)
        self.send_response(200)
        self.send_header("Content-Type", self.guess_type(file))
        if file.suffix in _COMPRESSED:
            self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body(file))))
        self.end_headers()
        self.wfile.write(body(file))

    def log_message(self, *_: object) -> None:
        """Keep quiet."""


def measured(folder: Path) -> dict[str, tuple[str, int]]:
    """Return the kind and the bytes of each page of the built site in ``folder``, headers and all.

    Each page is opened in a fresh profile and scrolled to its end. Keys are addresses below the site's home.
    """
    pages = sorted(
        file.parent for file in folder.rglob("index.html") if "<article" in file.read_text("utf-8")
    )
    chromium = find_chromium()
    if chromium is None:
        sys.exit(NO_CHROMIUM)
    with serving(folder, CompressingHost) as host, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        found = {}
        for page in pages:
            address = page.relative_to(folder).as_posix()
            html = (page / "index.html").read_text(encoding="utf-8")
            found[address] = kind(html), _weight(browser, f"{host}/{address}/")
        browser.close()
    return found


def _weight(browser: Browser, address: str) -> int:
    context = browser.new_context(viewport=_SCREEN)
    page = context.new_page()
    requests: list[Request] = []
    page.on("requestfinished", lambda request: requests.append(request))
    page.goto(address, wait_until="networkidle")
    page.evaluate(_SCROLL)
    page.wait_for_load_state("networkidle")
    sizes = [request.sizes() for request in requests if request.url.startswith("http")]
    context.close()
    return sum(size["responseHeadersSize"] + size["responseBodySize"] for size in sizes)
