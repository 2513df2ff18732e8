"""The page's addresses: ``/``, and everything under ``/-/``, where Langfuse has nothing.

No key is needed: it is a tool for the machine it runs on. So that no website can read it through the
reader's browser, it is shown under ``localhost`` and plain IP addresses only (a name can be made to point
here, DNS rebinding), it allows no other origin, and nothing of it may run but its own two files.
"""

import ipaddress
import re
import threading
import time
from collections.abc import Callable
from functools import cache
from importlib import resources
from math import ceil
from typing import Any
from urllib.parse import parse_qs, urlencode

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from codex_langfuse.codex.content import Kind, classify
from codex_langfuse.keys.credentials import basic_authorization
from codex_langfuse.mock.langfuse.answer import HTML, Answer
from codex_langfuse.mock.langfuse.auth import DEMONSTRATION_SECRET_KEY, ApiKey
from codex_langfuse.mock.langfuse.read_api import VERSION
from codex_langfuse.mock.page import shown
from codex_langfuse.mock.page.advice import advice_on
from codex_langfuse.mock.page.charts import charts_of
from codex_langfuse.mock.page.language import LANGUAGES, Translator, chosen
from codex_langfuse.mock.page.ledger import (
    LONGEST_SHOWN,
    MOST_TEXTS,
    Attribute,
    Ledger,
    TextCount,
    address_of,
    in_order,
)
from codex_langfuse.mock.page.request_contents import contents_of
from codex_langfuse.mock.page.traces import Trace, traces_of, tree_of
from codex_langfuse.mock.store import MOST_OBSERVATIONS, MockStore
from codex_langfuse.page_addresses import page_url

_PREFIX = "/-/"
_TRACES_A_PAGE = 50
_LINES_A_PAGE = 250
_REQUESTS_A_PAGE = 50
#: How long a view waits for what has arrived to be read.
_PATIENCE = 1.0
_HEADERS = {
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; connect-src 'self'; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"
    ),
    "x-content-type-options": "nosniff",
    "x-frame-options": "DENY",
    "x-robots-tag": "noindex",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-store",
    "vary": "Accept-Language",
}
_PLAIN = "text/plain; charset=utf-8"
_STATIC = {
    "page.css": "text/css; charset=utf-8",
    "page.js": "text/javascript; charset=utf-8",
    "mark.svg": "image/svg+xml",
}


def is_page(method: str, path: str) -> bool:
    """Return whether a request, by its path without the query, is for the page and not for Langfuse."""
    return method in ("GET", "HEAD") and (path == "/" or path.startswith(_PREFIX))


class Views:
    """The page over one store; ``answer`` may be called from any thread."""

    def __init__(self, store: MockStore, ledger: Ledger, key: ApiKey, langfuse: int, own_host: str = ""):
        self.store = store
        self.ledger = ledger
        self.langfuse = langfuse
        self.own_host = own_host.lower()
        is_secret = key.secret_key != DEMONSTRATION_SECRET_KEY
        #: The header to put into Codex's configuration; keys of the reader's own are not shown.
        self.authorization = "Basic …" if is_secret else basic_authorization(key.public_key, key.secret_key)
        self._lock = threading.Lock()
        self._traces: tuple[int, list[Trace]] = (-1, [])

    def answer(self, target: str, headers: dict[str, str]) -> Answer:
        """Answer a request for the page; ``target`` is the raw path with its query."""
        if not self._is_shown_to(headers.get("host", "")):
            return Answer(
                421,
                b"This page is shown under localhost or an IP address only, such as http://127.0.0.1:3000/.\n",
                _PLAIN,
                dict(_HEADERS),
            )
        path, _, query = target.partition("?")
        if path.startswith("/-/static/"):
            return _static(path.removeprefix("/-/static/"))
        return _View(self, path, query, headers).answer()

    def _is_shown_to(self, host: str) -> bool:
        name = re.sub(r":[0-9]*$", "", host).lower().rstrip(".")
        if name == "localhost" or name.endswith(".localhost") or (name and name == self.own_host):
            return True
        try:
            ipaddress.ip_address(name.removeprefix("[").removesuffix("]"))
        except ValueError:
            return False
        return True

    def traces(self) -> list[Trace]:
        """Return the traces there are now, the newest first."""
        revision = self.store.revision
        with self._lock:
            if self._traces[0] == revision:
                return self._traces[1]
        traces = traces_of(self.store.rows())
        with self._lock:
            self._traces = (revision, traces)
        return traces


class _View:
    """One look at the page: its language, its query, what is common to every view."""

    def __init__(self, views: Views, path: str, query: str, headers: dict[str, str]):
        self._views = views
        self._ledger = views.ledger
        self._path = path
        self._headers = headers
        try:
            self._query = parse_qs(query, max_num_fields=20)
        except ValueError:
            self._query = {}
        asked = self._query.get("lang", [""])[0]
        self._asked_language = asked if asked in LANGUAGES else None
        self._words = Translator(chosen(self._asked_language, headers.get("accept-language", "")))

    def answer(self) -> Answer:
        waiting = self._ledger.wait(_PATIENCE)
        records = self._views.store.records
        revisions = (
            self._views.store.revision,
            *self._ledger.revision,
            records.widgets.revision,
            records.dashboards.revision,
        )
        tag = f'"{".".join(map(str, revisions))}"'
        if self._headers.get("if-none-match") == tag:
            return Answer(304, b"", None, {**_HEADERS, "etag": tag})
        for pattern, view in _ROUTES:
            if found := pattern.fullmatch(self._path):
                answer = view(self, *found.groups())
                if answer is not None:
                    break
        else:
            answer = None
        if answer is None:
            return self._page("not_found.html", "", status=404, waiting=waiting)
        if isinstance(answer, Answer):
            return answer
        template, section, values = answer
        return self._page(template, section, waiting=waiting, tag=tag, **values)

    def _page(
        self, template: str, section: str, *, waiting: int, status: int = 200, tag: str = "", **values: Any
    ) -> Answer:
        words = self._words
        other = "zh" if words.language == "en" else "en"
        advice = advice_on(self._ledger.records, self._views.traces())
        html = (
            _templates()
            .get_template(template)
            .render(
                t=words,
                at=self._at,
                language=words.language,
                other_language=other,
                other_address=self._path_with(lang=other),
                section=section,
                waiting=waiting,
                tag=tag,
                langfuse=VERSION[self._views.langfuse],
                advice=advice,
                errors=sum(each.severity == "error" for each in advice),
                documented_at=self._documented_at,
                host=self._headers.get("host", ""),
                **values,
            )
        )
        headers = {**_HEADERS, **({"etag": tag} if tag else {}), "content-language": words.language}
        return Answer(status, html.encode("utf-8", "replace"), HTML, headers)

    def _at(self, path: str, **query: object) -> str:
        """Return an address of the page in the language that was asked for."""
        if self._asked_language:
            query["lang"] = self._asked_language
        return f"{path}?{urlencode(query)}" if query else path

    def _documented_at(self, page: tuple[str, str]) -> str:
        """Return the address of a page of the documentation, in the reader's language."""
        path, section = page
        return page_url(path if self._words.language == "en" else f"zh/{path}", section)

    def _path_with(self, **query: object) -> str:
        page = self._query.get("page", [""])[0]
        return f"?{urlencode({**({'page': page} if page.isascii() and page.isdecimal() else {}), **query})}"

    def _paged(self, items: list[Any], most: int) -> tuple[list[Any], int, int]:
        """Return the part of ``items`` that the query asks for, its number from 1, and how many there are."""
        pages = max(1, ceil(len(items) / most))
        text = self._query.get("page", ["1"])[0][:9]
        page = min(max(int(text), 1), pages) if text.isascii() and text.isdecimal() else 1
        return items[(page - 1) * most : page * most], page, pages

    def list_traces(self) -> Any:
        traces = self._views.traces()
        part, page, pages = self._paged(traces, _TRACES_A_PAGE)
        return (
            "traces.html",
            "traces",
            {
                "traces": part,
                "number_of_traces": len(traces),
                "number_of_observations": sum(len(trace.rows) for trace in traces),
                "limit": MOST_OBSERVATIONS,
                "arrived": bool(self._ledger.records),
                "authorization": self._views.authorization,
                "page": page,
                "pages": pages,
            },
        )

    def _trace(self, address: str) -> Trace | None:
        return next((trace for trace in self._views.traces() if trace.address == address), None)

    def show_trace(self, address: str) -> Any:
        trace = self._trace(address)
        if trace is None:
            return None
        lines = tree_of(trace)
        part, page, pages = self._paged(lines, _LINES_A_PAGE)
        return (
            "trace.html",
            "traces",
            {
                "trace": trace,
                "lines": part,
                "number_of_lines": len(lines),
                "first_line": (page - 1) * _LINES_A_PAGE + 1,
                "page": page,
                "pages": pages,
            },
        )

    def show_trace_text(self, address: str, digest: str) -> Any:
        trace = self._trace(address)
        for row in trace.rows if trace is not None else ():
            own, common, _ = shown.metadata_of(row)
            for text in (row["input"], row["output"], *(text for _, text in own + common)):
                if text and len(text) > LONGEST_SHOWN and address_of(text) == digest:
                    return _plain(text)
        return None

    def show_sent(self) -> Any:
        records = self._ledger.records[::-1]
        part, page, pages = self._paged(records, _REQUESTS_A_PAGE)
        return (
            "sent.html",
            "sent",
            {
                "totals": self._ledger.totals,
                "groups": _by_kind(self._ledger.attributes()),
                "left_out": self._ledger.left_out,
                "records": part,
                "page": page,
                "pages": pages,
                "most_texts": MOST_TEXTS,
                "longest": LONGEST_SHOWN,
                "arrived": bool(records),
            },
        )

    def show_text(self, digest: str) -> Any:
        text = self._ledger.text(digest)
        return None if text is None else _plain(text)

    def show_request(self, number: str) -> Any:
        record = self._ledger.record(int(number))
        if record is None:
            return None
        request = record.request()
        groups: dict[Kind, list[Attribute]] = {}
        if request is not None:
            found: dict[tuple[Kind, Any], Attribute] = {}
            for place, texts in contents_of(request).texts.items():
                for text, count in texts.items():
                    kind = classify(place.key, text)
                    attribute = found.setdefault((kind, place), Attribute(kind, place))
                    attribute.count += count
                    if len(attribute.texts) < MOST_TEXTS:
                        attribute.texts[text] = TextCount(count, record.number, record.number)
                    else:
                        attribute.beyond += count
            groups = _by_kind(in_order(list(found.values())))
        return "request.html", "sent", {"record": record, "is_kept": request is not None, "groups": groups}

    def show_dashboard(self, name: str = "") -> Any:
        records = self._views.store.records
        with records.lock:
            dashboards = sorted(records.dashboards, key=lambda each: str(each["createdAt"]))
            widgets = {each["id"]: each for each in records.widgets}
        chosen = next((each for each in dashboards if each["id"] == name), None)
        if name and chosen is None:
            return None
        chosen = chosen or (dashboards[0] if dashboards else None)
        rows = self._views.store.rows()
        asked = self._query.get("days", [""])[0]
        days = int(asked) if asked in ("1", "7", "30") else 7
        now = int(time.time() * 1000)
        return (
            "dashboard.html",
            "dashboards",
            {
                "dashboard": chosen,
                "others": [each for each in dashboards if each is not chosen],
                "charts": charts_of(chosen, widgets, rows, now=now, days=days) if chosen else [],
                "days": days,
                "uncounted": sum("mockWarning" in row for row in rows),
            },
        )

    def show_warnings(self) -> Any:
        return "warnings.html", "warnings", {}


_ROUTES: tuple[tuple[re.Pattern[str], Callable[..., Any]], ...] = (
    (re.compile(r"/"), _View.list_traces),
    (re.compile(r"/-/traces/([A-Za-z0-9_-]{1,64})"), _View.show_trace),
    (re.compile(r"/-/traces/([A-Za-z0-9_-]{1,64})/texts/([0-9a-f]{32})"), _View.show_trace_text),
    (re.compile(r"/-/sent"), _View.show_sent),
    (re.compile(r"/-/texts/([0-9a-f]{32})"), _View.show_text),
    (re.compile(r"/-/requests/([0-9]{1,12})"), _View.show_request),
    (re.compile(r"/-/warnings"), _View.show_warnings),
    (re.compile(r"/-/dashboards"), _View.show_dashboard),
    (re.compile(r"/-/dashboards/([A-Za-z0-9]{1,64})"), _View.show_dashboard),
)


def _by_kind(attributes: list[Attribute]) -> dict[Kind, list[Attribute]]:
    return {kind: [each for each in attributes if each.kind is kind] for kind in Kind}


def _plain(text: str) -> Answer:
    return Answer(200, shown.whole(text).encode("utf-8", "replace"), _PLAIN, dict(_HEADERS))


def _static(name: str) -> Answer:
    if name not in _STATIC:
        return Answer(404, b"Not found\n", _PLAIN, dict(_HEADERS))
    body = resources.files(__package__).joinpath("static", name).read_bytes()
    return Answer(200, body, _STATIC[name], dict(_HEADERS))


@cache
def _templates() -> Environment:
    environment = Environment(
        loader=PackageLoader(__package__),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(
        cut=shown.cut,
        short=shown.short,
        moment=shown.moment,
        duration=shown.duration,
        size=shown.size,
        number=shown.number,
        money=shown.money,
    )
    environment.globals.update(metadata_of=shown.metadata_of, LONGEST_VALUE=shown.LONGEST_VALUE, bar=_bar)
    return environment


def _bar(start: int, end: int, first: int, last: int) -> Markup:
    """Draw when a line of the tree began and ended within its trace."""
    width = max(last - first, 1)
    left = min(max((start - first) / width * 1000, 0), 996)
    length = min(max((end - start) / width * 1000, 4), 1000 - left)
    return Markup(
        '<svg class="bar" viewBox="0 0 1000 10" preserveAspectRatio="none" aria-hidden="true">'
        '<rect x="{:.0f}" y="0" width="{:.0f}" height="10"/></svg>'
    ).format(left, length)
