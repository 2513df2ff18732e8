"""No dead link in the built site, and no link to a host that nobody has reviewed."""

import re
from functools import cached_property
from pathlib import Path
from urllib.parse import unquote, urldefrag, urljoin, urlsplit

import pytest

from harness.site import ROOT, BuiltSite, Tags, source_of
from hooks import redirects

pytestmark = pytest.mark.site

ALLOWED_HOSTS = ROOT / "tests/allowed_hosts.txt"


class LinkedSite:
    """The HTML files of a built site, by their address."""

    def __init__(self, site: BuiltSite) -> None:
        self.site = site
        self.pages = {
            site.url + path.relative_to(site.folder).as_posix().removesuffix("index.html"): Tags(
                path.read_text(encoding="utf-8")
            )
            for path in sorted(site.folder.rglob("*.html"))
        }
        self.anchors = {
            address: {own["id"] for _, own in page.all if "id" in own} for address, page in self.pages.items()
        }

    @cached_property
    def links(self) -> list[tuple[str, str]]:
        """Every link of the site, as the address of its page and the absolute address that it names."""
        return [
            (address, urljoin(address, link))
            for address, page in self.pages.items()
            for _, own in page.all
            for link in (own.get("href"), own.get("src"))
            if link and urlsplit(link).scheme in ("", "http", "https")
        ]

    def is_dead(self, target: str) -> bool:
        """Say whether an address within the site leads nowhere (or only by way of a redirect)."""
        address, fragment = urldefrag(target)
        if address in self.pages:
            return bool(fragment) and unquote(fragment) not in self.anchors[address]
        return not (self.site.folder / unquote(address.removeprefix(self.site.url))).is_file()


@pytest.fixture(scope="module")
def linked(site: BuiltSite) -> LinkedSite:
    return LinkedSite(site)


def test_links_within_the_site_lead_somewhere(linked: LinkedSite):
    home = linked.site.url
    within = [(page, target) for page, target in linked.links if target.startswith(home)]
    assert len(within) > 100
    assert [f"{page} -> {target}" for page, target in within if linked.is_dead(target)] == []


def test_the_checker_notices_dead_links(linked: LinkedSite):
    for alive in ("", "quickstart/", "assets/mark.svg"):
        assert not linked.is_dead(linked.site.url + alive)
    for dead in ("none/", "quickstart", "quickstart/#none", "assets/none.svg"):
        assert linked.is_dead(linked.site.url + dead)


@pytest.mark.parametrize("home", ["", "zh/"])
def test_old_addresses_lead_to_where_their_words_are(linked: LinkedSite, home: str):
    moved = redirects.redirects()
    assert moved
    for old, new in moved.items():
        address = f"{linked.site.url}{home}{old}"
        assert not linked.is_dead(f"{linked.site.url}{home}{new}"), new
        if "#" in old:
            continue  # needs a browser: tests/test_site_use.py
        (link,) = linked.pages[address].named("a")
        (refresh,) = linked.pages[address].named("meta", **{"http-equiv": "refresh"})
        assert urljoin(address, link["href"]) == f"{linked.site.url}{home}{new}"
        assert refresh["content"] == f"0; url={link['href']}"
        assert not source_of(f"{old.rstrip('/')}.md", "en").exists()


def test_links_to_other_hosts_are_reviewed(linked: LinkedSite):
    lines = ALLOWED_HOSTS.read_text(encoding="utf-8").splitlines()
    allowed = {line for line in lines if line and not line.startswith("#")}
    own = urlsplit(linked.site.url).netloc
    found = {(urlsplit(target).netloc, page) for page, target in linked.links}
    assert sorted((host, page) for host, page in found if host not in allowed | {own}) == []


def test_markdown_twins_lead_to_one_another(site: BuiltSite):
    twins = [path for path in site.folder.rglob("*.md") if "assets" not in path.parts]
    links = [
        (twin, target)
        for twin in twins
        for target in re.findall(r"\]\(([^)\s#:]+\.md)[)#]", twin.read_text(encoding="utf-8"))
    ]
    assert links
    assert [(str(twin), target) for twin, target in links if not Path(twin.parent, target).is_file()] == []
