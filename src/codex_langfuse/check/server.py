"""Ask the server what it thinks of this set-up, without sending it any telemetry.

The question is what Codex sends, with the same headers and certificates, and an empty list of spans in it: an
OTLP message of no bytes. Langfuse answers 200 when path and keys are right.
"""

import json
import re
import ssl
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.request import getproxies, proxy_bypass

import httpx

from codex_langfuse.check.findings import Finding
from codex_langfuse.check.helper import HelperError, headers_of, problem_of
from codex_langfuse.check.rules_of_exporters import certificate_path
from codex_langfuse.check.rules_of_keys import is_sent
from codex_langfuse.check.setup import Exporter, Setup, split_address
from codex_langfuse.configuration.edit import EditError
from codex_langfuse.configuration.secrets import masked
from codex_langfuse.keys.credentials import is_this_machine
from codex_langfuse.proxies import client_options

_BY_STATUS = {401: "refused-keys", 403: "no-permission", 404: "not-langfuse", 405: "not-langfuse"}

# Complaints of the other side about the client's certificate, or the lack of it, as OpenSSL names them.
_ALERT_ABOUT_CLIENT = re.compile(
    r"ALERT_(CERTIFICATE_REQUIRED|UNKNOWN_CA|(BAD|UNSUPPORTED)_CERTIFICATE|CERTIFICATE_(EXPIRED|REVOKED|UNKNOWN))"
)
_MOST_REDIRECTS = 5
CONTAINER_MARKS = (Path("/.dockerenv"), Path("/run/.containerenv"))
# nginx 1.22 completes the handshake and then answers with a page of HTML that has these words.
_NGINX_WANTS_CERTIFICATE = "No required SSL certificate was sent"


@dataclass(frozen=True)
class ServerReply:
    """What a server said: a line for people, and the finding when something is wrong."""

    endpoint: str
    said: str
    finding: Finding | None = None


def ask(setup: Setup, *, timeout: float = 10, run_helper: bool = False) -> Iterator[ServerReply]:
    """Ask every server that Codex exports to by HTTP, each once; ``timeout`` in seconds.

    Proxies are those of this process's environment.
    """
    asked: set[str] = set()
    for exporter in setup.exporters:
        parts = split_address(exporter.endpoint)
        if exporter.kind != "otlp-http" or not parts or parts.scheme not in ("http", "https"):
            continue
        if exporter.endpoint not in asked:
            asked.add(exporter.endpoint)
            yield _ask(setup, exporter, timeout, run_helper)


def _ask(setup: Setup, exporter: Exporter, timeout: float, run_helper: bool) -> ServerReply:
    shown = masked(exporter.endpoint)
    place = setup.place((*exporter.path, "endpoint"))

    def wrong(mistake: str, said: str) -> ServerReply:
        return ServerReply(shown, said, Finding(mistake, place, f"{shown}: {said}."))

    headers = {header.name: header.value for header in setup.headers(exporter) if is_sent(header)}
    if setup.headers_helper is not None:
        if problem_of(setup, setup.headers_helper):
            return ServerReply(shown, "not asked: headers_helper gives no headers")
        try:
            printed = headers_of(setup, setup.headers_helper, run=run_helper)
        except HelperError as error:
            return wrong("headers-helper", str(error))
        if printed is None:
            return ServerReply(shown, "not asked: add --run-helper to run headers_helper")
        headers = {
            **{name: value for name, value in headers.items() if name.lower() != "authorization"},
            **printed,
        }
    headers["content-type"] = "application/x-protobuf"
    try:
        encoded = {name.encode(): value.strip(" \t").encode("utf-8") for name, value in headers.items()}
        options = {**client_options(exporter.endpoint), "verify": _trust(setup, exporter)}
        with httpx.Client(timeout=timeout, **options) as client:
            response = client.post(exporter.endpoint, content=b"", headers=encoded)
            for _ in range(_MOST_REDIRECTS):
                if response.next_request is None or not _same_server(response):
                    break
                response = client.send(response.next_request)
    except httpx.ReadTimeout:
        return wrong("no-answer", f"no answer within {timeout:g} s")
    except httpx.HTTPError as error:
        if _ALERT_ABOUT_CLIENT.search(str(error)):
            return wrong("client-certificate-refused", _certificate_problem(error))
        if "WRONG_VERSION_NUMBER" in str(error) or "wrong version number" in str(error):
            return wrong("tls-to-plain", "it answers without TLS")
        if _is_about_certificate(error):
            return wrong("untrusted-certificate", _certificate_problem(error))
        trouble = masked(str(error)) or type(error).__name__
        proxy = (
            _proxy_for(exporter.endpoint) if isinstance(error, httpx.ProxyError | httpx.ConnectError) else ""
        )
        if proxy:
            return wrong("proxy-refuses", f"{trouble}, by way of the proxy {proxy}")
        return wrong("unreachable", trouble + _in_container(exporter.endpoint))
    except (httpx.InvalidURL, EditError, OSError, ValueError) as error:
        return wrong("unreachable", masked(str(error)) or type(error).__name__)
    if response.is_success:
        with_keys = any(name.lower() == "authorization" for name in headers)
        what = "address and keys are accepted" if with_keys else "it takes telemetry"
        return ServerReply(shown, f"{response.status_code}, {what}")
    if response.status_code == 400 and _NGINX_WANTS_CERTIFICATE in response.text:
        return wrong("client-certificate-refused", f"400 {_NGINX_WANTS_CERTIFICATE}")
    said = f"{response.status_code} {_message(response)}".strip()
    if response.next_request is not None:
        said += f" to {response.next_request.url.host}, which gets no header from here"
    if response.status_code == 401 and not setup.is_langfuse(exporter.endpoint):
        return wrong("refused-token", said)
    if response.status_code == 404 and exporter.key == "exporter":
        return wrong("no-logs-there", said)
    return wrong(_BY_STATUS.get(response.status_code, "server-refuses"), said)


def _same_server(response: httpx.Response) -> bool:
    """Return whether a redirect stays where the headers, with a key perhaps, were meant for."""
    here, there = response.request.url, response.next_request.url if response.next_request else None
    return there is not None and (here.scheme, here.host, here.port) == (there.scheme, there.host, there.port)


def _in_container(endpoint: str) -> str:
    """Say that this machine is the container, where it is one: Docker and Podman mark theirs with a file."""
    host = split_address(endpoint).hostname or ""
    if not is_this_machine(host) or not any(mark.exists() for mark in CONTAINER_MARKS):
        return ""
    return f". In this container {host} is the container, not its host"


def _proxy_for(endpoint: str) -> str:
    """Name the proxy by which this process reaches an address, without what it is logged in with."""
    parts = split_address(endpoint)
    proxies = getproxies()
    proxy = proxies.get(parts.scheme) or proxies.get("all")
    if not proxy or proxy_bypass(parts.netloc.rpartition("@")[2]):
        return ""
    named = split_address(proxy if "://" in proxy else f"http://{proxy}")
    return named.netloc.rpartition("@")[2] if named else "that is set"


def _trust(setup: Setup, exporter: Exporter) -> ssl.SSLContext | bool:
    tls = exporter.tls

    def file(key: str) -> str | None:
        written = tls.get(key)
        path = (*exporter.path, "tls", key)
        return str(certificate_path(setup, path, written)) if isinstance(written, str) else None

    # Codex reads these two as well.
    authority = file("ca-certificate") or setup.environment.get("CODEX_CA_CERTIFICATE")
    certificate, key = file("client-certificate"), file("client-private-key")
    if not authority and not certificate:
        return True
    context = ssl.create_default_context(cafile=authority)
    if certificate and key:
        context.load_cert_chain(certificate, key)
    return context


def _is_about_certificate(error: BaseException | None) -> bool:
    while error is not None:
        if isinstance(error, ssl.SSLError) or "CERTIFICATE_VERIFY_FAILED" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _certificate_problem(error: BaseException) -> str:
    text = str(error)
    return text.partition("certificate verify failed: ")[2].partition(" (_ssl")[0] or text


def _message(response: httpx.Response) -> str:
    """Return what the server says in words, cut short."""
    if "json" not in response.headers.get("content-type", ""):
        return ""
    try:
        answer = response.json()
    except json.JSONDecodeError:
        return ""
    text = answer.get("message") or answer.get("error") if isinstance(answer, dict) else None
    return masked(str(text))[:200] if text else ""
