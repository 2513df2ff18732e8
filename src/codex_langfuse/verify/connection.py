"""A connection to a Langfuse that names the layer that failed instead of raising whatever went wrong."""

import json
import re
import socket
import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import TracebackType
from typing import Any, Self

import httpx

from codex_langfuse.masking import mask_secrets
from codex_langfuse.proxies import client_options, proxy_trouble
from codex_langfuse.verify.layers import ENDPOINT_PATH, REFUSED_KEYS, UNREACHABLE, Layer, LayerError

SECONDS_TO_ANSWER = 20


class LangfuseConnection:
    """Requests to the Langfuse at ``base_url``, with the ``Authorization`` header given.

    Proxies (``HTTPS_PROXY``, ``NO_PROXY``; none to this machine) and a certificate authority
    (``SSL_CERT_FILE``) come from the environment. A redirect is not followed: Codex does not follow one
    either, and the header would go along.
    """

    def __init__(self, base_url: str, authorization: str, *, seconds_to_answer: float = SECONDS_TO_ANSWER):
        self.base_url = base_url
        self._seconds = seconds_to_answer
        try:
            with self._naming_layers():
                self._http = httpx.Client(
                    headers={"authorization": authorization, "user-agent": "codex-langfuse"},
                    timeout=seconds_to_answer,
                    **client_options(base_url),
                )
        except (ValueError, ImportError) as error:  # A scheme httpx does not know.
            raise LayerError(
                Layer.ADDRESS,
                proxy_trouble(base_url) or str(error),
                page=UNREACHABLE,
            ) from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._http.close()

    def get(self, path: str, **parameters: str) -> httpx.Response:
        """Ask for ``path``; raises ``LayerError`` when there is no answer."""
        with self._naming_layers():
            return self._http.get(self.base_url + path, params=parameters)

    def post(self, path: str, body: bytes, headers: dict[str, str]) -> httpx.Response:
        """Send ``body`` to ``path``; raises ``LayerError`` when there is no answer."""
        with self._naming_layers():
            return self._http.post(self.base_url + path, content=body, headers=headers)

    def send(self, method: str, path: str, body: object = None) -> httpx.Response:
        """Send ``body`` as JSON, if there is one; raises ``LayerError`` when there is no answer."""
        with self._naming_layers():
            return self._http.request(method, self.base_url + path, json=body)

    def project_id(self) -> str:
        """Return the id of the project that the keys belong to.

        Asks ``GET /api/public/projects``, as Langfuse answers 401 and 403 there before anything is stored.
        Raises ``LayerError`` for the address, TLS, the path or the keys.
        """
        answer = retrying_once(lambda: self.get("/api/public/projects"))
        said = langfuses_words(answer)
        if answer.status_code == 401:
            raise LayerError(
                Layer.KEYS,
                f"Langfuse at {self.base_url} refuses the keys (401)",
                "They belong to another region or project, or were not copied completely.",
                *said,
                page=REFUSED_KEYS,
            )
        if answer.status_code == 403:
            raise LayerError(
                Layer.KEYS,
                "the keys do not belong to a project (403)",
                "Make a pair in the project: Settings, API Keys.",
                *said,
                page=REFUSED_KEYS,
            )
        if answer.status_code in (407, 429) or answer.status_code >= 500:
            raise LayerError(
                Layer.ADDRESS,
                f"{self.base_url} answers with status {answer.status_code}",
                "Try again later; 407 means that the proxy requires a password.",
                *said,
                page=UNREACHABLE,
            )
        found = _first_project(answer) if answer.status_code == 200 else None
        if found is None:
            raise self.not_langfuse(answer)
        return found

    def not_langfuse(self, answer: httpx.Response) -> LayerError:
        """Make the error for an answer that Langfuse would not give."""
        return LayerError(
            Layer.PATH,
            f"{self.base_url} answers, but not as Langfuse does (status {answer.status_code})",
            "Give the address that the browser shows, up to the host.",
            page=ENDPOINT_PATH,
        )

    @contextmanager
    def _naming_layers(self) -> Iterator[None]:
        try:
            yield
        except (httpx.HTTPError, httpx.InvalidURL, OSError) as error:
            raise self._explain(error) from error

    def _explain(self, error: Exception) -> LayerError:
        causes = list(_causes(error))
        if any(isinstance(cause, ssl.SSLError) for cause in causes):
            return LayerError(
                Layer.TLS,
                f"no trusted TLS connection to {self.base_url}",
                "For a private certificate authority, set SSL_CERT_FILE to its file.",
                page=UNREACHABLE,
            )
        if any(isinstance(cause, FileNotFoundError) for cause in causes):
            return LayerError(
                Layer.TLS,
                "the file named in SSL_CERT_FILE does not exist",
                "Name the file with your certificate authority, or unset SSL_CERT_FILE.",
                page=UNREACHABLE,
            )
        if any(isinstance(cause, socket.gaierror) for cause in causes):
            return LayerError(
                Layer.ADDRESS,
                f"the name in {self.base_url} cannot be resolved",
                "Check the spelling and the network of this machine.",
                page=UNREACHABLE,
            )
        if any(isinstance(cause, httpx.TimeoutException) for cause in causes):
            return LayerError(
                Layer.ADDRESS,
                f"{self.base_url} does not answer within {self._seconds:g} seconds",
                "Check for a firewall or a proxy (HTTPS_PROXY).",
                page=UNREACHABLE,
            )
        return LayerError(
            Layer.ADDRESS,
            f"{self.base_url} cannot be reached",
            "Check the port, the server, and the proxy (HTTPS_PROXY) if you use one.",
            page=UNREACHABLE,
        )


def retrying_once(request: Callable[[], httpx.Response], longest_wait: float = 60) -> httpx.Response:
    """Make a request, and once more when asked to come back (429 with ``Retry-After`` in seconds)."""
    answer = request()
    wait = retry_after(answer)
    if answer.status_code == 429 and wait is not None and wait <= longest_wait:
        time.sleep(wait)
        answer = request()
    return answer


def retry_after(answer: httpx.Response) -> int | None:
    """Return the seconds of the ``Retry-After`` header, None for none or for a date."""
    text = answer.headers.get("retry-after", "")
    return int(text) if re.fullmatch(r"[0-9]{1,6}", text) else None


def langfuses_words(answer: httpx.Response) -> list[str]:
    """Return a line with what Langfuse said, if it said something (``message`` or ``error`` in JSON)."""
    body = json_of(answer)
    told = [body.get("message"), body.get("error")] if isinstance(body, dict) else []
    text = next((each for each in told if isinstance(each, str) and each), None)
    return [f"Langfuse says: {_one_line(text)}"] if text else []


def has_no_traces(answer: httpx.Response) -> bool:
    """Return whether a Langfuse 4 refuses to look among the older traces, as it does by default.

    With ``LANGFUSE_MIGRATION_V4_WRITE_MODE=legacy`` it does look there, and its observations stay empty.
    """
    return answer.status_code == 404 and "events_only" in answer.text


def json_of(answer: httpx.Response) -> Any:
    """Return the JSON in an answer, None for none."""
    try:
        return json.loads(answer.content)
    except ValueError:
        return None


def _first_project(answer: httpx.Response) -> str | None:
    match json_of(answer):
        case {"data": [{"id": str(found)}, *_]} if re.fullmatch(r"[A-Za-z0-9_-]+", found):
            return found
    return None


def _one_line(text: str) -> str:
    """Return a text of the server's in one line, without control characters, and with secrets masked."""
    return " ".join("".join(each if each.isprintable() else " " for each in mask_secrets(text)).split())


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        yield error
        error = error.__cause__ or error.__context__
