"""The mock's own page over HTTP: what it shows of real recordings, what it does with hostile telemetry."""

import gzip
import json
import re
import time
import tomllib
from collections.abc import Iterator
from html import unescape
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import quote

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import recordings
from codex_langfuse.codex.content import Kind, classify
from codex_langfuse.masking import MASK
from codex_langfuse.mock.faults import Fault
from codex_langfuse.mock.page.advice import _RULES
from codex_langfuse.mock.page.language import LANGUAGES, Translator, _texts, chosen
from codex_langfuse.mock.page.request_contents import RequestContents, contents_of
from codex_langfuse.mock.page.traces import traces_of, tree_of
from codex_langfuse.mock.server import RunningMock, running_mock
from codex_langfuse.mock.store import SeenRequest
from harness import web
from harness.mock_client import TRACES, client
from harness.otlp_json import attribute, export, simple_export, span
from harness.running_relay import wait_until
from harness.web import JSON, PROTOBUF

pytestmark = pytest.mark.slow

VIEWS = ["/", "/-/dashboards", "/-/sent", "/-/warnings"]


class Page(HTMLParser):
    """An HTML page: its visible text, its tags, its links."""

    def __init__(self, html: str):
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_data(self, data: str) -> None:
        self.text += data

    @property
    def links(self) -> list[str]:
        return [attributes["href"] or "" for tag, attributes in self.tags if tag == "a"]


@pytest.fixture
def mock() -> Iterator[RunningMock]:
    with running_mock(page=True) as mock:
        yield mock


def replay(mock: RunningMock, name: str, *signals: str) -> None:
    """Send a recording's requests to the paths a reader might have written."""
    with client(mock) as http:
        for sent in recordings.read(name):
            if not signals or sent.signal in signals:
                http.post(f"/api/public/otel/v1/{sent.signal}", headers=PROTOBUF, content=sent.body)


def page(mock: RunningMock, path: str, **headers: str) -> Page:
    answer = web.get(mock.url + path, headers=headers)
    assert answer.status_code == 200, path
    return Page(answer.text)


def told(mock: RunningMock) -> dict[str, str]:
    """The warnings: each one's text by its id."""
    html = web.get(f"{mock.url}/-/warnings").text
    found = re.findall(r'<article class="advice \w+" id="([^"]+)">(.*?)</article>', html, re.DOTALL)
    return {name: Page(body).text for name, body in found}


def sent_in(name: str) -> dict[tuple[str, Kind], set[str]]:
    """What a recording gives away: texts by signal and kind."""
    found: dict[tuple[str, Kind], set[str]] = {}
    for sent in recordings.read(name):
        contents = contents_of(SeenRequest("POST", f"/v1/{sent.signal}", list(PROTOBUF.items()), sent.body))
        for place, texts in contents.texts.items():
            for each in texts:
                kind = classify(place.key, each)
                if kind is not Kind.OTHER:
                    found.setdefault((place.signal, kind), set()).add(each)
    return found


# --- what left the machine ------------------------------------------------------------------------------


def test_old_codex_is_seen_to_leak_its_prompt_and_its_tools_output(mock: RunningMock) -> None:
    replay(mock, "0.98.0-simple", "traces")
    shown = page(mock, "/-/sent").text
    assert "say hello secret-prompt" in shown
    assert "hello-from-tool" in shown
    assert "0.98.0" in told(mock)["leak"]


def test_new_codex_has_only_a_folder_and_names_in_its_traces() -> None:
    sent = sent_in("0.163.0-simple")
    assert {kind for signal, kind in sent if signal == "traces"} == {Kind.PATH, Kind.NAME}
    assert sent["traces", Kind.PATH] == {"/home/dev/work"}
    assert "exec_command" in sent["traces", Kind.NAME]
    content = sent["logs", Kind.CONTENT]
    assert "say hello secret-prompt" in content
    assert '{"cmd": "echo hello-from-tool"}' in content
    assert any("hello-from-tool" in each and "exited with code 0" in each for each in content)
    assert {kind for signal, kind in sent if signal == "metrics"} == {Kind.NAME}


def test_a_login_puts_e_mail_and_account_into_logs(mock: RunningMock) -> None:
    sent = sent_in("0.169.0-privacy-lup_true_agentresp")
    assert {"EMAILMARK@example.com", "ACCTMARK-1", "HOSTMARK-pc"} <= sent["logs", Kind.IDENTITY]
    assert ("traces", Kind.IDENTITY) not in sent
    replay(mock, "0.169.0-privacy-lup_true_agentresp", "logs")
    shown = page(mock, "/-/sent").text
    for mark in (
        "EMAILMARK@example.com",
        "ACCTMARK-1",
        "HOSTMARK-pc",
        "please PROMPTMARK",
        "MSGMARK",
        "MCPARGMARK",
    ):
        assert mark in shown, mark


@pytest.mark.parametrize("name", recordings.names("*"))
def test_the_body_tells_the_signal_whatever_the_path(name: str) -> None:
    for sent in recordings.read(name):
        contents = contents_of(SeenRequest("POST", "/api/public/otel", list(PROTOBUF.items()), sent.body))
        assert (contents.signal, contents.readable) == (sent.signal, True)
        assert contents.items > 0


def test_content_appears_in_traces_from_073_to_098_alone() -> None:
    leaking = {name for name in recordings.names("*") if ("traces", Kind.CONTENT) in sent_in(name)}
    assert leaking == {"0.73.0-simple", "0.98.0-simple"}


def test_totals_and_refused_requests_are_listed(mock: RunningMock) -> None:
    replay(mock, "0.163.0-simple")
    web.post(f"{mock.url}/wrong/path?x=1", content=b"some text of mine that is no OTLP at all")
    shown = page(mock, "/-/sent")
    assert "POST /wrong/path?x=1" in shown.text
    assert "some text of mine that is no OTLP at all" in shown.text
    assert "POST /api/public/otel/v1/logs" in shown.text
    sizes = {
        signal: sum(map(len, recordings.bodies("0.163.0-simple", signal)))
        for signal in ("traces", "logs", "metrics")
    }
    totals = web.get(f"{mock.url}/-/sent").text.partition("</table>")[0]
    for size in sizes.values():
        assert f"{size / 1000:.1f} kB" in totals
    (last,) = {link for link in shown.links if link.startswith("/-/requests/")} & {"/-/requests/1"}
    assert "/api/public/otel/v1/" in page(mock, last).text


def test_json_and_gzip_are_read_too(mock: RunningMock) -> None:
    with client(mock) as http:
        http.post(TRACES, headers=JSON, content=simple_export({"cwd": "/home/me/project"}))
        http.post(
            TRACES,
            headers={**JSON, "content-encoding": "gzip"},
            content=gzip.compress(simple_export({"user.id": "zipped-user"}, spanId="x")),
        )
        http.post(
            TRACES,
            headers=JSON,
            content=b'{"resourceSpans":[{"resource":{"attributes":[{"key":7,"value":"odd one"}]}}]}',
        )
    shown = page(mock, "/-/sent").text
    assert "/home/me/project" in shown
    assert "zipped-user" in shown
    assert "odd one" in shown


@pytest.mark.parametrize(
    "secret",
    [
        "sk-lf-12345678-1234-1234-1234-123456789012",
        "sk-proj-abcdefghijklmnopqrstuvwx",
        "ghp_abcdefghijklmnopqrstuvwxyz0123456789",
        "AKIAIOSFODNN7EXAMPLE",
        "https://me:hunter22@example.com/repo.git",
        "Authorization: Basic cGstbGYtMTIzNDU2Nzg5MDpzay1sZg==",
    ],
)
def test_secrets_are_flagged_and_masked_everywhere(mock: RunningMock, secret: str) -> None:
    long = f"before {secret} after " + "words " * 100
    with client(mock) as http:
        http.post(
            TRACES,
            headers=JSON,
            content=simple_export({"note": secret, "langfuse.observation.input": long}, name=secret),
        )
    assert "secret" in told(mock)
    views = [*VIEWS, "/-/requests/1", f"/-/traces/{'ab' * 16}"]
    raw = [link for link in page(mock, "/-/sent").links if link.startswith("/-/texts/")]
    assert raw
    for path in views + raw:
        body = web.get(mock.url + path).text
        assert secret not in body, path
        assert secret[-12:] not in body or "example.com" in secret, path
    assert MASK in web.get(mock.url + raw[0]).text


def test_long_texts_are_cut_and_linked_whole(mock: RunningMock) -> None:
    long = "0123456789" * 100_000 + "THE END"
    with client(mock) as http:
        http.post(TRACES, headers=JSON, content=simple_export({"prompt": long}))
    shown = web.get(f"{mock.url}/-/sent")
    assert len(shown.content) < 50_000
    (link,) = {link for link in Page(shown.text).links if link.startswith("/-/texts/")}
    raw = web.get(mock.url + link)
    assert raw.text == long
    assert raw.headers["content-type"] == "text/plain; charset=utf-8"
    assert raw.headers["x-content-type-options"] == "nosniff"


def test_what_the_store_forgets_has_still_left(mock: RunningMock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("codex_langfuse.mock.store.MOST_REQUESTS", 1)
    with client(mock) as http:
        http.post(TRACES, headers=JSON, content=simple_export({"prompt": "gone but sent"}))
        page(mock, "/-/sent")  # reads it
        for _ in range(2):
            http.post(TRACES, headers=JSON, content=simple_export({"prompt": "later"}))
    assert "gone but sent" in page(mock, "/-/sent").text
    assert "no longer keeps" in page(mock, "/-/requests/1").text
    mock.store.clear()
    assert "gone but sent" not in page(mock, "/-/sent").text


def test_a_day_kept_in_a_file_is_shown_again(tmp_path: Path) -> None:
    file = tmp_path / "day.jsonl"
    with running_mock(store_file=file, page=True) as mock, client(mock) as http:
        http.post(TRACES, headers=JSON, content=simple_export({"prompt": "of yesterday"}))
        http.post(TRACES, headers={**JSON, "authorization": "Basic d3Jvbmc6a2V5"}, content=simple_export())
        web.post(mock.url + TRACES, headers={"authorization": "Basic d3Jvbmc6a2V5"})
        before = set(told(mock))
    with running_mock(store_file=file, page=True) as mock:
        assert "of yesterday" in page(mock, "/-/sent").text
        assert set(told(mock)) == before >= {"refused"}


def test_what_was_never_answered_has_left_too(mock: RunningMock) -> None:
    mock.faults.add(Fault(hang=True, times=1))
    with client(mock) as http, pytest.raises(httpx.ReadTimeout):
        impatient = httpx.Timeout(60, read=0.2)
        lost = simple_export({"prompt": "into the void"})
        http.post(TRACES, headers=JSON, content=lost, timeout=impatient)
    wait_until(lambda: "into the void" in page(mock, "/-/sent").text)
    assert "not-taken" in told(mock)


def test_views_of_thousands_of_spans_are_quick(mock: RunningMock) -> None:
    for number in range(10):
        replay(mock, "0.163.0-simple" if number % 2 else "0.169.0-simple", "traces")
    page(mock, "/")
    with client(mock) as http:
        http.post(TRACES, headers=JSON, content=simple_export(traceId=f"{number:032x}"))
        for path in VIEWS:
            # The mock works in this process; what else the machine does is no concern of its.
            started = time.process_time()
            http.get(path)
            assert time.process_time() - started < 0.5


# --- traces ---------------------------------------------------------------------------------------------


def test_traces_as_langfuse_shows_them(mock: RunningMock) -> None:
    replay(mock, "0.163.0-simple", "traces")
    first = page(mock, "/")
    traces = traces_of(mock.store.rows())
    assert f"{len(traces)} traces with 535 observations" in first.text
    (turn,) = [trace for trace in traces if trace.turns]
    assert (turn.name, turn.tokens) == ("turn/start", 2500)
    assert f"/-/traces/{turn.id}" in first.links
    one = page(mock, f"/-/traces/{turn.id}")
    for shown in (
        "session_task.turn",
        "handle_responses",
        "exec_command",
        "gpt-5-codex",
        "GENERATION",
        "2,500",
    ):
        assert shown in one.text, shown
    assert len([tag for tag, _ in one.tags if tag == "details"]) <= 251


def test_every_observation_has_its_place_in_the_tree() -> None:
    with running_mock(page=True) as mock:
        replay(mock, "0.169.0-tui-ok", "traces")
        for trace in traces_of(mock.store.rows()):
            placed = [row["id"] for line in tree_of(trace) for row in line.rows]
            assert sorted(placed) == sorted(row["id"] for row in trace.rows)


def spans(*rows: tuple[str, str, str]) -> bytes:
    """An export of spans of one trace: (id, parent, name), each starting a second after the one before."""
    return export(
        *(
            span(
                spanId=each,
                parentSpanId=parent,
                name=name,
                startTimeUnixNano=str(1_795_425_366_000_000_000 + number * 10**9),
                endTimeUnixNano=str(1_795_425_366_500_000_000 + number * 10**9),
            )
            for number, (each, parent, name) in enumerate(rows)
        )
    )


def test_many_alike_share_a_line_and_a_huge_trace_has_pages(mock: RunningMock) -> None:
    alike = [(f"{number:016x}", "f" * 16, "fs.read_file") for number in range(12)]
    different = [(f"{number + 100:016x}", "f" * 16, f"step {number}") for number in range(3000)]
    with client(mock) as http:
        http.post(TRACES, headers=JSON, content=spans(("f" * 16, "", "turn/start"), *alike, *different))
    address = f"/-/traces/{'ab' * 16}"
    started = time.process_time()
    first = page(mock, address)
    assert time.process_time() - started < 3
    assert re.search(r"fs\.read_file\s*×\s*12", first.text)
    assert "of 3,002" in first.text
    (following,) = [link for link in first.links if link.endswith("page=2")]
    assert "step 300" in page(mock, following).text


def test_circles_and_orphans_do_not_get_lost(mock: RunningMock) -> None:
    circle = [("a1", "b2", "chicken"), ("b2", "a1", "egg"), ("c3", "c3", "own parent")]
    with client(mock) as http:
        http.post(TRACES, headers=JSON, content=spans(*circle, ("d4", "no", "orphan")))
    shown = page(mock, f"/-/traces/{'ab' * 16}").text
    for name in ("chicken", "egg", "own parent", "orphan"):
        assert name in shown


# --- warnings -------------------------------------------------------------------------------------------


def test_before_anything_came_it_says_how_to_point_codex_here(mock: RunningMock) -> None:
    assert told(mock) == {}
    (configuration,) = re.findall(r"<pre[^>]*><code>(.*?)</code>", web.get(mock.url).text, re.DOTALL)
    exporter = tomllib.loads(unescape(configuration))["otel"]["trace_exporter"]["otlp-http"]
    with client(mock) as http:
        http.auth = None
        headers = {**JSON, **exporter["headers"]}
        answer = http.post(exporter["endpoint"], headers=headers, content=simple_export())
    assert answer.status_code == 200


def test_keys_of_ones_own_are_not_shown() -> None:
    with running_mock("pk-lf-of-my-own", "sk-lf-of-my-own", page=True) as mock:
        for path in VIEWS:
            answer = web.get(mock.url + path).text
            assert "of-my-own" not in answer
            assert "c2stbGYtb2YtbXktb3du" not in answer


def test_warnings_of_a_usual_day(mock: RunningMock) -> None:
    replay(mock, "0.163.0-simple")
    warnings = told(mock)
    assert set(warnings) == {"logs", "header-astray", "metrics", "environment", "session", "cost", "many"}
    assert "535 observations for 1 turns" in warnings["many"]
    assert "2,500 tokens" in warnings["cost"]
    links = page(mock, "/-/warnings").links
    for part in ("troubleshooting/#logs-exporter", "signals/#span-attributes", "signals/#turn"):
        assert any(link.endswith(part) for link in links), part


LOGS = b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"x"}}]}]}]}'


@pytest.mark.parametrize(
    ("path", "headers", "body", "name"),
    [
        ("/api/public/otel", {}, None, "endpoint"),
        (TRACES, {"authorization": "Basic ${LANGFUSE_AUTH}"}, None, "variable"),
        (TRACES, {"authorization": "Basic d3Jvbmc6a2V5"}, None, "refused"),
        (TRACES, {"authorization": ""}, None, "no-header"),
        (TRACES, {"content-type": "text/plain"}, None, "not-taken"),
        (
            TRACES,
            {},
            b'{"resourceLogs":[{"scopeLogs":[{"logRecords":[{"body":{"stringValue":"x"}}]}]}]}',
            "logs",
        ),
        (TRACES, {}, simple_export(attributes=[{"key": "no value"}]), "lost"),
        (TRACES, {}, simple_export({"langfuse.observation.input": "what I asked"}), "content"),
        (TRACES, {}, simple_export(), "json"),
    ],
)
def test_each_mistake_has_its_warning(
    mock: RunningMock, path: str, headers: dict[str, str], body: bytes | None, name: str
) -> None:
    with client(mock) as http:
        own = {key: value for key, value in headers.items() if key != "authorization"}
        http.auth = None if "authorization" in headers else http.auth
        if headers.get("authorization"):
            own["authorization"] = headers["authorization"]
        http.post(path, headers={**JSON, **own}, content=body or simple_export())
    assert name in told(mock)


# --- addresses, languages, headers ----------------------------------------------------------------------


def test_every_link_of_the_page_leads_somewhere(mock: RunningMock) -> None:
    replay(mock, "0.98.0-simple")
    waiting, seen = ["/"], set()
    while waiting and len(seen) < 60:
        path = waiting.pop()
        seen.add(path)
        answer = web.get(mock.url + path)
        assert answer.status_code == 200, path
        if answer.headers["content-type"].startswith("text/html"):
            links = Page(answer.text).links
            waiting += sorted({link for link in links if link.startswith("/")} - seen - set(waiting))
    assert len(seen) > 10


@pytest.mark.parametrize(
    "path",
    ["/-/nothing", "/-/traces/" + "ab" * 16, "/-/traces/..%2f..", "/-/requests/999", "/-/texts/" + "0" * 32,
     "/-/static/../views.py", "/-/static/views.py", "/-/requests/-1"],
)  # fmt: skip
def test_unknown_addresses(mock: RunningMock, path: str) -> None:
    answer = web.get(mock.url + path)
    assert answer.status_code == 404
    assert "nothing" not in answer.text


@pytest.mark.parametrize("path", VIEWS)
def test_head_is_answered_without_a_body(mock: RunningMock, path: str) -> None:
    whole, head = web.get(mock.url + path), web.head(mock.url + path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == whole.headers["content-length"]


def test_looking_leaves_no_trace_and_other_methods_are_langfuses(mock: RunningMock) -> None:
    for path in VIEWS:
        web.get(mock.url + path)
    assert mock.store.requests == []
    assert web.post(mock.url).status_code == 404
    assert len(mock.store.requests) == 1


def test_unchanged_is_said_without_the_page(mock: RunningMock) -> None:
    replay(mock, "0.114.0-simple", "traces")
    first = web.get(mock.url)
    tag = {"if-none-match": first.headers["etag"]}
    again = web.get(mock.url, headers=tag)
    assert (again.status_code, again.content) == (304, b"")
    replay(mock, "0.114.0-simple", "logs")
    assert web.get(mock.url, headers=tag).status_code == 200


@pytest.mark.parametrize("path", [*VIEWS, "/-/static/page.js", "/-/static/page.css", "/-/nothing"])
def test_other_sites_can_neither_read_nor_frame_it(mock: RunningMock, path: str) -> None:
    answer = web.get(mock.url + path, headers={"origin": "https://evil.example"})
    assert "access-control-allow-origin" not in answer.headers
    policy = answer.headers["content-security-policy"]
    assert "default-src 'none'" in policy
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.headers["cross-origin-resource-policy"] == "same-origin"


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost:3000", 200),
        ("127.0.0.1", 200),
        ("[::1]:3000", 200),
        ("192.168.1.5:3000", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("<script>", 421),
    ],
)
def test_a_name_that_was_made_to_point_here_shows_nothing(mock: RunningMock, host: str, status: int) -> None:
    answer = web.get(mock.url, headers={"host": host})
    assert answer.status_code == status
    assert host in answer.text if status == 200 else host not in answer.text
    assert web.get(f"{mock.url}/api/public/ready", headers={"host": host}).status_code == 200


def test_the_page_speaks_the_readers_language(mock: RunningMock) -> None:
    chinese = web.get(mock.url, headers={"accept-language": "zh-CN,zh;q=0.9,en;q=0.8"})
    assert '<html lang="zh-CN"' in chinese.text
    assert "还没有数据到达" in chinese.text
    english = web.get(mock.url, headers={"accept-language": "de,en;q=0.5,zh;q=0.4"})
    assert '<html lang="en"' in english.text
    asked = web.get(f"{mock.url}/?lang=zh", headers={"accept-language": "en"})
    assert '<html lang="zh-CN"' in asked.text
    assert all("lang=" in link for link in Page(asked.text).links if link.startswith(("/", "?")))


def test_chinese_warnings_link_to_chinese_pages(mock: RunningMock) -> None:
    replay(mock, "0.114.0-simple", "logs")
    links = page(mock, "/-/warnings", **{"accept-language": "zh"}).links
    assert any(link.endswith("/zh/guide/troubleshooting/#logs-exporter") for link in links)


def test_links_of_warnings_lead_to_headings_that_exist() -> None:
    docs = Path(__file__).parents[1] / "docs"
    for _, _, (path, section), *_ in _RULES:
        for folder in ("", "zh/"):
            assert f"{{ #{section} }}" in (docs / f"{folder}{path}.md").read_text(encoding="utf-8"), section


def test_languages_are_chosen_as_browsers_ask() -> None:
    assert chosen(None, "") == "en"
    assert chosen(None, "zh-TW") == "zh"
    assert chosen(None, "en;q=0.1, zh;q=0.2") == "zh"
    assert chosen("en", "zh") == "en"
    assert chosen("xx", "zh;q=nonsense") == "zh"


def test_every_text_is_there_in_both_languages() -> None:
    def leaves(table: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, str]]]:
        for key, value in table.items():
            if set(value) == set(LANGUAGES) and all(isinstance(each, str) for each in value.values()):
                yield f"{path}{key}", value
            else:
                yield from leaves(value, f"{path}{key}.")

    glossary = tomllib.loads(
        (Path(__file__).parents[1] / "scripts/site/glossary.toml").read_text(encoding="utf-8")
    )
    avoided = [word for term in glossary["term"] for word in term["avoid"]]
    texts = dict(leaves(_texts()))
    assert len(texts) > 100
    for key, both in texts.items():
        fields = [sorted(re.findall(r"\{\w+\}", re.sub(r"`[^`]*`", "", text))) for text in both.values()]
        assert fields[0] == fields[1], key
        codes = [sorted(re.findall(r"`[^`]*`", text)) for text in both.values()]
        assert codes[0] == codes[1], key
        assert not [word for word in avoided if word in both["zh"]], key
    assert Translator("en")("advice.metrics.do") == (
        "Write <code>metrics_exporter = &#34;none&#34;</code>. Without that line they go to OpenAI."
    )


# --- hostile telemetry ----------------------------------------------------------------------------------

NASTY = st.one_of(
    st.text(max_size=40),
    st.sampled_from(
        [
            "<script>alert(1)</script>",
            "'\"><img src=x onerror=alert(1)>",
            "{{ 7*7 }}{% raw %}",
            "javascript:alert(1)",
            "\u202eevil\u2066",
            "\x00\x1b[31m\r\n",
            "A" * 5000,
            "</textarea></title></style></script>",
            "{0.__class__}",
            "%s%n",
            "\ud800",
        ]
    ),
)


@pytest.fixture(scope="module")
def hostile() -> Iterator[RunningMock]:
    with running_mock(page=True) as mock:
        yield mock


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.tuples(NASTY, NASTY), max_size=5), NASTY, NASTY, NASTY, NASTY)
def test_hostile_telemetry_stays_text(
    hostile: RunningMock, attributes, trace_id, name, session, path
) -> None:
    hostile.store.clear()
    known = [
        ("session.id", session),
        ("langfuse.trace.tags", name),
        ("langfuse.observation.input", path),
        ("model", session),
    ]
    body = simple_export(
        attributes=[attribute(*pair) for pair in (*attributes, *known)], traceId=trace_id, name=name
    )
    with client(hostile) as http:
        assert http.post(TRACES, headers=JSON, content=body).status_code == 200
        http.post(f"/wrong?{quote(path, safe='<>{}%', errors='replace')}", headers=JSON, content=body)
        addresses = [link for link in Page(http.get("/").text).links if link.startswith("/-/traces/")]
        for address in [*VIEWS, *addresses, "/-/requests/1", "/-/requests/2"]:
            answer = http.get(address)
            assert answer.status_code == 200, address
            shown = Page(answer.text)
            assert [attrs.get("src") for tag, attrs in shown.tags if tag == "script"] == ["/-/static/page.js"]
            for tag, attrs in shown.tags:
                assert tag not in ("iframe", "object", "style", "base", "form", "textarea")
                assert not [key for key in attrs if key.startswith("on") or key == "style"]
                assert not (attrs.get("href") or "").lower().lstrip().startswith(("javascript", "data"))
                assert tag != "img" or attrs["src"] == "/-/static/mark.svg"
            assert not re.search("[\u202a-\u202e\u2066-\u2069\x00\x1b]", answer.text)


@settings(max_examples=60, deadline=None)
@given(st.binary(max_size=200), st.sampled_from(["application/json", "application/x-protobuf", ""]))
def test_any_body_is_read_without_complaint(body: bytes, media_type: str) -> None:
    contents = contents_of(SeenRequest("POST", "/v1/traces", [("content-type", media_type)], body))
    assert isinstance(contents, RequestContents)


JSON_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=8)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(
            st.sampled_from(
                ["resourceSpans", "scopeSpans", "spans", "attributes", "key", "value", "stringValue", "x"]
            ),
            inner,
            max_size=4,
        ),
    ),
    max_leaves=20,
)


@settings(max_examples=100, deadline=None)
@given(JSON_VALUES)
def test_no_text_in_odd_json_is_passed_over(value: Any) -> None:
    body = json.dumps({"resourceSpans": value}).encode()
    contents = contents_of(SeenRequest("POST", "/v1/traces", [("content-type", "application/json")], body))
    if not contents.readable:
        shown = {each for texts in contents.texts.values() for each in texts}

        def strings(part: Any) -> Iterator[str]:
            if isinstance(part, str):
                yield part
            elif isinstance(part, list | dict):
                for inner in part.values() if isinstance(part, dict) else part:
                    yield from strings(inner)

        assert set(strings(value)) - {""} <= shown
