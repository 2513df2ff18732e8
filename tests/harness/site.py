"""The built site, served on loopback, and the Chromium that reads it.

Two sites are built once a session: the real one at the root of its host, and a specimen (tests/specimen/:
every construct that pages use, on one page) with the same settings under a sub-path, as on GitHub Pages.
"""

import gzip
import json
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from filelock import FileLock
from mkdocs.commands.build import build
from mkdocs.config import load_config
from playwright.sync_api import Browser, BrowserContext, Page, expect, sync_playwright

from local_site import NO_CHROMIUM, find_chromium, serving

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
SPECIMEN = ROOT / "tests/specimen"
LANGUAGES = ("en", "zh")

CHROMIUM_FLAGS = (
    "--no-sandbox",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
    # Else each new window loads pages for the address bar, which takes as long as a page of the site.
    "--disable-features=WebUIOmniboxAimPopup,WebUIOmniboxPopup",
    # A request to another host fails here too, and shows among the page's errors.
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
)

# Before a page's own scripts: Material draws diagrams into closed shadow roots, where no test can look; and
# a colour half-way through a transition is no colour of the page.
OPEN_AND_STILL = """
const attach = Element.prototype.attachShadow;
Element.prototype.attachShadow = function (init) { return attach.call(this, { ...init, mode: "open" }); };
const still = new CSSStyleSheet();
still.replaceSync("*, ::before, ::after { transition: none !important; animation: none !important; }");
document.adoptedStyleSheets = [still];
"""


def english_pages(docs: Path = DOCS) -> list[str]:
    """Return the English pages of a docs folder, by path relative to it ("guide/relay.md"), sorted."""
    paths = (path.relative_to(docs) for path in docs.rglob("*.md"))
    return sorted(path.as_posix() for path in paths if path.parts[0] not in ("zh", "assets"))


def address_of(page: str, language: str) -> str:
    """Return where the site serves a page ("guide/relay.md"), relative to its home ("zh/guide/relay/")."""
    path = page.removesuffix("index.md") if page.endswith("index.md") else page.removesuffix(".md") + "/"
    return ("" if language == "en" else f"{language}/") + path


def source_of(page: str, language: str, docs: Path = DOCS) -> Path:
    """Return the Markdown file of a page in a language."""
    return docs / page if language == "en" else docs / language / page


class Tags(HTMLParser):
    """The opening tags of an HTML text, in order, as (name, attributes)."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.all: list[tuple[str, dict[str, str]]] = []
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.all.append((tag, {name: value or "" for name, value in attrs}))

    def named(self, name: str, having: str = "", **attributes: str) -> list[dict[str, str]]:
        """Return the attributes of each tag of a name that has the attribute `having`, and those given."""
        return [
            own
            for tag, own in self.all
            if tag == name and (not having or having in own) and attributes.items() <= own.items()
        ]


@dataclass(frozen=True)
class BuiltSite:
    """A built site: its files, the address of its home (ending in "/"), and how its build ended."""

    folder: Path
    url: str
    log: str = ""
    exit_code: int = 0

    def address(self, page: str, language: str = "en") -> str:
        """Return the full address of a page, given by its path under docs/."""
        return self.url + address_of(page, language)

    def file(self, path: str) -> Path:
        """Return the file that the site serves at a path from the root of its host."""
        file = self.folder / path.removeprefix(urlsplit(self.url).path)
        return file / "index.html" if file.is_dir() else file

    def html(self, page: str, language: str = "en") -> str:
        """Return the HTML of a page, given by its path under docs/."""
        return (self.folder / address_of(page, language) / "index.html").read_text(encoding="utf-8")

    def tags(self, page: str, language: str = "en") -> Tags:
        """Return the tags of a page, given by its path under docs/."""
        return Tags(self.html(page, language))


class StaticHost(SimpleHTTPRequestHandler):
    """Serves files as GitHub Pages does: what is not there gets the root's 404.html."""

    protocol_version = "HTTP/1.1"  # connections are kept: a page asks for a dozen files

    def send_error(self, code: int, message: str | None = None, explain: str | None = None) -> None:
        not_found_page = Path(self.directory) / "404.html"
        if code != 404 or not not_found_page.is_file():
            return super().send_error(code, message, explain)
        body = not_found_page.read_bytes()
        self.send_response(code)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: object) -> None:
        pass


#: What the site is built for; each process that tests it serves a copy, with its own address instead.
_BUILT_FOR = b"http://site.test/"


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BuiltSite]:
    """The real site, built as contributors build it: `mkdocs build --strict`, by the first process to ask."""
    base = tmp_path_factory.getbasetemp()
    built = (base.parent if "PYTEST_XDIST_WORKER" in os.environ else base) / "built-site"
    with FileLock(f"{built}.lock"):
        if not built.exists():
            _build(built)
    outcome = json.loads((built / "outcome.json").read_text(encoding="utf-8"))
    # A strict build writes the site and then fails for its warnings: one test says so, the others go on.
    assert (built / "site/zh/index.html").is_file(), outcome["log"]
    folder = tmp_path_factory.mktemp("site")
    with serving(folder, StaticHost) as address:
        shutil.copytree(built / "site", folder, dirs_exist_ok=True)
        here = f"{address}/".encode()
        for path in (path for path in folder.rglob("*.*") if path.is_file()):
            body = path.read_bytes()
            if path.suffix == ".gz":
                path.write_bytes(gzip.compress(gzip.decompress(body).replace(_BUILT_FOR, here)))
            elif _BUILT_FOR in body:
                path.write_bytes(body.replace(_BUILT_FOR, here))
        yield BuiltSite(folder, f"{address}/", outcome["log"], outcome["exit_code"])


def _build(folder: Path) -> None:
    folder.mkdir()
    ended = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", folder / "site"],
        cwd=ROOT,
        env=os.environ | {"SITE_URL": _BUILT_FOR.decode(), "NO_MKDOCS_2_WARNING": "1", "NO_COLOR": "1"},
        capture_output=True,
        text=True,
        check=False,
    )
    outcome = {"log": ended.stdout + ended.stderr, "exit_code": ended.returncode}
    (folder / "outcome.json").write_text(json.dumps(outcome), encoding="utf-8")


@pytest.fixture(scope="session")
def specimen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[BuiltSite]:
    """The specimen, built with the real site's settings and served under /specimen/."""
    docs = tmp_path_factory.mktemp("specimen-docs")
    shutil.copytree(SPECIMEN, docs, dirs_exist_ok=True)
    shutil.copytree(DOCS / "assets", docs / "assets", ignore=shutil.ignore_patterns("vendor"))
    host = tmp_path_factory.mktemp("specimen-host")
    logging.getLogger("mkdocs").setLevel(logging.WARNING)
    with serving(host, StaticHost) as address:
        url = f"{address}/specimen/"
        build(
            load_config(
                str(ROOT / "mkdocs.yml"),
                docs_dir=str(docs),
                site_dir=str(host / "specimen"),
                site_url=url,
                nav=[{"Home": "index.md"}, {"Guide": ["guide/specimen.md"]}],
            )
        )
        yield BuiltSite(host / "specimen", url)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    """A headless Chromium of the system; without one the test fails and says how to get it."""
    chromium = find_chromium()
    if chromium is None:
        pytest.fail(NO_CHROMIUM)
    expect.set_options(timeout=30_000)  # five seconds are too short for a loaded machine
    with sync_playwright() as playwright:
        running = playwright.chromium.launch(executable_path=chromium, args=list(CHROMIUM_FLAGS))
        yield running
        running.close()


@pytest.fixture
def open_page(browser: Browser) -> Iterator[Callable[..., Page]]:
    """Return a function that opens an address in a fresh profile and waits until it has loaded.

    Keyword arguments are Playwright's for a browser context, such as `color_scheme="dark"`.
    """
    contexts: list[BrowserContext] = []

    def opened(address: str, **options: Any) -> Page:
        context = browser.new_context(**options)
        contexts.append(context)
        context.add_init_script(OPEN_AND_STILL)
        page = context.new_page()
        page.goto(address)
        return page

    yield opened
    for context in contexts:
        context.close()
