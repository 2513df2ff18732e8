"""The mock as a running server, in a thread of this process."""

import contextlib
import socket
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import uvicorn

from codex_langfuse.listening import Tls, listen
from codex_langfuse.mock.app import Mock, make_app
from codex_langfuse.mock.faults import Fault, Faults
from codex_langfuse.mock.langfuse.auth import DEMONSTRATION_PUBLIC_KEY, DEMONSTRATION_SECRET_KEY, ApiKey
from codex_langfuse.mock.page.ledger import Ledger
from codex_langfuse.mock.page.views import Views
from codex_langfuse.mock.store import MockStore
from codex_langfuse.mock.visibility import IMMEDIATE, Visibility
from codex_langfuse.thread_server import ThreadServer

#: Pairs for trying the refusals that a project's own pair never meets.
ORGANIZATION_KEY = ApiKey("pk-lf-organization", "sk-lf-organization", scope="organization", project_id=None)
IN_APP_AGENT_KEY = ApiKey("pk-lf-in-app-agent", "sk-lf-in-app-agent", in_app_agent=True)


@dataclass(frozen=True)
class RunningMock:
    """A mock that is listening: where, with which pair of keys, and what it was sent."""

    url: str
    public_key: str
    secret_key: str
    store: MockStore
    faults: Faults


@contextlib.contextmanager
def running_mock(
    public_key: str | None = None,
    secret_key: str | None = None,
    langfuse: int = 4,
    host: str = "127.0.0.1",
    port: int = 0,
    store_file: str | Path | None = None,
    faults: Sequence[Fault] | None = None,
    tls: Tls | None = None,
    visibility: Visibility = IMMEDIATE,
    *,
    page: bool = False,
) -> Iterator[RunningMock]:
    """Run the mock for the length of a ``with`` block.

    ``langfuse`` is the major version to answer as, 3 or 4; port 0 takes a free one; ``visibility`` is when
    the API shows what arrived; ``page`` adds the mock's own page, which costs more than the answers do.
    Raises ``OSError`` when the address cannot be had, ``StoreFileError`` when the file cannot be had or is
    no store. Leaving the block closes every connection, also those waiting for an answer.
    """
    if langfuse not in (3, 4):
        raise ValueError(f"langfuse must be 3 or 4, not {langfuse}")
    key = ApiKey(public_key or DEMONSTRATION_PUBLIC_KEY, secret_key or DEMONSTRATION_SECRET_KEY)
    listener = listen(host, port)
    with contextlib.closing(listener):
        store = MockStore(Path(store_file) if store_file is not None else None)
        keys = (key, ORGANIZATION_KEY, IN_APP_AGENT_KEY)
        ledger = Ledger(store, keys) if page else None
        views = Views(store, ledger, key, langfuse, host) if ledger else None
        mock = Mock(keys, store, Faults(list(faults or ())), views, host, langfuse, visibility)
        server = ThreadServer(
            uvicorn.Config(
                make_app(mock),
                lifespan="off",
                log_config=None,
                log_level="critical",
                access_log=False,
                server_header=False,
                **(tls.uvicorn_options() if tls else {}),
            )
        )
        thread = threading.Thread(target=server.run, args=([listener],), name="mock-langfuse", daemon=True)
        thread.start()
        try:
            server.wait_until_ready()
            yield RunningMock(_url(listener, tls), key.public_key, key.secret_key, store, mock.faults)
        finally:
            server.stop()
            thread.join()
            if ledger:
                ledger.close()
            store.close()


def _url(listener: socket.socket, tls: Tls | None) -> str:
    scheme = "https" if tls else "http"
    host, port = listener.getsockname()[:2]
    return f"{scheme}://[{host}]:{port}" if ":" in host else f"{scheme}://{host}:{port}"
