"""The proxy in place of the internet hands on what it is given, and shows the rest."""

import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from codex_langfuse.testplan.certificates import PrivateAuthority
from harness import web
from harness.proxy import tls_proxy

BODY = bytes(range(256)) * 1000


@contextmanager
def upstream(**handlers):
    """A server that keeps the raw head and the body of each request."""
    seen = []

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            seen.append((self.raw_requestline, self.headers.items(), body))
            answer = b'{"message":"Not allowed"}'
            self.send_response(418)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_):
            pass

    handler = type("Handler", (Handler,), handlers)
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    server.block_on_close = False
    server.seen = seen
    thread = threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


def url_of(server) -> str:
    return f"http://127.0.0.1:{server.server_port}"


@contextmanager
def routed_to_upstream(**handlers):
    with upstream(**handlers) as server, tls_proxy({"cloud.langfuse.com": url_of(server)}) as proxy:
        yield server, proxy


def client(proxy, **options) -> httpx.Client:
    trust = ssl.create_default_context(cafile=proxy.environment["SSL_CERT_FILE"])
    return httpx.Client(proxy=proxy.environment["HTTPS_PROXY"], verify=trust, timeout=60, **options)


def test_a_routed_request_arrives_as_it_was_sent() -> None:
    path = "/api//public/otel/%2e/v1/traces?a=b%20c&d"
    headers = {"X-Mixed-Case": "Basic cGs6c2s=", "Host": "cloud.langfuse.com"}
    with routed_to_upstream() as (server, proxy), client(proxy) as browser:
        answer = browser.post(f"https://cloud.langfuse.com{path}", headers=headers, content=BODY)

    assert (answer.status_code, answer.text) == (418, '{"message":"Not allowed"}')
    [(line, sent, body)] = server.seen
    assert line == f"POST {path} HTTP/1.1\r\n".encode()
    assert {("x-mixed-case", "Basic cGs6c2s="), ("host", "cloud.langfuse.com")} <= set(sent)
    assert body == BODY
    [record] = proxy.exchanges
    assert (record.origin, record.method, record.path) == ("https://cloud.langfuse.com", "POST", path)
    assert record.headers["x-mixed-case"] == "Basic cGs6c2s="
    assert (record.status, record.answer, record.body) == (418, b'{"message":"Not allowed"}', BODY)


def test_any_other_host_is_recorded_and_answered_with_its_status() -> None:
    with tls_proxy({}, statuses={"ab.chatgpt.com": 202}) as proxy, client(proxy) as browser:
        secret = {"Authorization": "Basic c2VjcmV0"}
        assert browser.post("https://ab.chatgpt.com/otlp", headers=secret, content=b"m").status_code == 202
        assert browser.get("https://api.github.com:8443/x").status_code == 403
        assert browser.get("http://example.com/plain?q=1").status_code == 403

    [metrics] = proxy.to("https://ab.chatgpt.com")
    assert metrics.headers["authorization"] == "Basic c2VjcmV0"
    assert metrics.body == b"m"
    assert [each.origin + each.path for each in proxy.exchanges[1:]] == [
        "https://api.github.com:8443/x",
        "http://example.com/plain?q=1",
    ]
    assert proxy.connected_hosts == {"ab.chatgpt.com", "api.github.com", "example.com"}


def test_a_route_may_name_a_port_of_this_machine() -> None:
    with upstream() as server:
        routes = {"localhost:3000": url_of(server)}
        with tls_proxy(routes, direct_hosts=["127.0.0.1"]) as proxy, client(proxy) as browser:
            assert browser.post("http://localhost:3000/api", content=b"x").status_code == 418
            assert browser.post("http://localhost:3001/api", content=b"x").status_code == 403
    assert proxy.environment["NO_PROXY"] == "127.0.0.1"


def test_one_connection_carries_many_requests() -> None:
    one_at_a_time = httpx.Limits(max_connections=1)
    with routed_to_upstream() as (_, proxy), client(proxy, limits=one_at_a_time) as browser:
        for number in range(5):
            browser.post(f"https://cloud.langfuse.com/{number}", content=BODY)
    assert [request.path for request in proxy.exchanges] == [f"/{number}" for number in range(5)]


def test_connections_are_served_side_by_side() -> None:
    together = threading.Barrier(8)

    def meet(handler):
        together.wait(10)  # passes only when all eight requests are here at once
        handler.send_response(204)
        handler.end_headers()

    def get(proxy) -> int:
        with client(proxy) as browser:
            return browser.get("https://cloud.langfuse.com/").status_code

    with routed_to_upstream(do_GET=meet) as (_, proxy), ThreadPoolExecutor(8) as pool:
        assert list(pool.map(get, [proxy] * 8)) == [204] * 8


def test_only_who_is_told_to_trusts_its_authority() -> None:
    usual_trust = ssl.create_default_context()
    with (
        tls_proxy({}) as proxy,
        web.Client(proxy=proxy.url, verify=usual_trust) as browser,
        pytest.raises(httpx.ConnectError, match="certificate verify failed"),
    ):
        browser.get("https://cloud.langfuse.com/")
    assert proxy.connected_hosts == {"cloud.langfuse.com"}
    assert proxy.exchanges == []


def test_a_private_host_lets_in_only_who_shows_its_certificate(tmp_path) -> None:
    authority = PrivateAuthority()
    authority.hand_out(tmp_path)
    assert (tmp_path / "client.key").stat().st_mode & 0o077 == 0
    trusting = ssl.create_default_context(cafile=tmp_path / "ca.pem")
    with_certificate = ssl.create_default_context(cafile=tmp_path / "ca.pem")
    with_certificate.load_cert_chain(tmp_path / "client.pem", tmp_path / "client.key")
    with tls_proxy({}, private={"private.example": authority}) as proxy:

        def get(trust: ssl.SSLContext, host: str = "private.example") -> int:
            with web.Client(proxy=proxy.url, verify=trust) as browser:
                return browser.get(f"https://{host}/").status_code

        assert get(with_certificate) == 403
        for trust, host in [
            (trusting, "private.example"),
            (ssl.create_default_context(cafile=proxy.authority), "private.example"),
            (with_certificate, "public.example"),
        ]:
            with pytest.raises(httpx.TransportError):
                get(trust, host)
    assert [request.host for request in proxy.exchanges] == ["private.example"]
