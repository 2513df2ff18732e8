"""What a page asks for, complains of and keeps from readers, in Chromium."""

from dataclasses import dataclass, field

from playwright.sync_api import Page

from harness.site import ROOT

DESKTOP = {"width": 1400, "height": 900}
PHONE = {"width": 360, "height": 740}
_AXE = ROOT / "node_modules/axe-core/axe.min.js"
# Of what looks alike, by the tags, classes and styles from the article down, the contrast of one is computed:
# of all, it takes most of the time of a long page.
_CONTRAST_OF_ONE_EACH = """() => {
    const seen = new Set()
    const looks = new Map()
    for (const element of document.querySelectorAll("article *")) {
        const own = `${element.localName}.${element.className} ${element.getAttribute("style")}`
        const look = `${looks.get(element.parentElement)} > ${own}`
        looks.set(element, look)
        element.toggleAttribute("data-repeated", seen.has(look))
        if (element.checkVisibility()) seen.add(look)
    }
    axe.configure({ rules: [{ id: "color-contrast", selector: "*:not([data-repeated])" }] })
}"""
_WCAG_2_2_AA = ["wcag2a", "wcag2aa", "wcag21a", "wcag21aa", "wcag22aa"]


@dataclass
class Visit:
    """What was heard while a page was open: the addresses it asked for, and what went wrong."""

    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


def watch(page: Page, visit: Visit) -> None:
    """Note every request, failed request and complaint of the page."""
    page.on("request", lambda request: visit.requests.append(request.url))
    # Chromium gives a request up when the page is left before the answer came.
    page.on(
        "requestfailed",
        lambda request: visit.errors.append(
            f"{'given up' if request.failure == 'net::ERR_ABORTED' else 'failed'}: {request.url}"
        ),
    )
    page.on("pageerror", lambda error: visit.errors.append(f"script: {error}"))
    page.on(
        "console",
        lambda message: visit.errors.extend(
            [f"console: {message.text}"] if message.type in ("error", "warning") else []
        ),
    )
    page.on(
        "response",
        lambda answer: visit.errors.extend(
            [f"{answer.status}: {answer.url}"] if answer.status >= 300 else []
        ),
    )


def violations(page: Page, when: str, within: str = "html") -> list[str]:
    """Return what axe finds against WCAG 2.2 AA on the page as it is, one line for each element."""
    if not page.evaluate("'axe' in window"):
        page.evaluate(_AXE.read_text(encoding="utf-8"))
    page.evaluate(_CONTRAST_OF_ONE_EACH)
    found = page.evaluate(
        "([within, tags]) => axe.run(within, { runOnly: tags, resultTypes: ['violations'] })",
        [within, _WCAG_2_2_AA],
    )
    return [
        f"{when}: {rule['id']} {node['target']} {node['failureSummary'].splitlines()[-1].strip()}"
        for rule in found["violations"]
        for node in rule["nodes"]
    ]
