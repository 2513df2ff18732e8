"""The wire of the test plan in place of the internet: no request of a program under test leaves the machine.

Routed hosts lead to a local server, so ``https://cloud.langfuse.com`` in an example reaches the mock with no
change to the example. Any other host gets a fixed answer. Everything is recorded, so that a secret that goes
to the wrong host can be seen.
"""

import ssl
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from types import MappingProxyType
from urllib.parse import urlsplit

from codex_langfuse.testplan.certificates import PrivateAuthority
from codex_langfuse.testplan.wire import Upstream, Wire, running_wire

LANGFUSE_HOSTS = (
    "cloud.langfuse.com",
    "us.cloud.langfuse.com",
    "jp.cloud.langfuse.com",
    "hipaa.cloud.langfuse.com",
)


@dataclass
class TlsProxy(Wire):
    """A running proxy; ``contexts`` has the TLS contexts of private hosts, for the rest see ``tls_proxy``."""

    routes: Mapping[str, str] = field(default_factory=dict)
    statuses: Mapping[str, int] = field(default_factory=dict)
    direct_hosts: Sequence[str] = ()
    contexts: Mapping[str, ssl.SSLContext] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """The variables that make curl, Python and Codex use the proxy and trust only its authority."""
        return {
            **dict.fromkeys(("HTTPS_PROXY", "https_proxy", "HTTP_PROXY", "http_proxy"), self.url),
            **dict.fromkeys(("NO_PROXY", "no_proxy"), ",".join(self.direct_hosts)),
            **dict.fromkeys(("SSL_CERT_FILE", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE"), str(self.authority)),
        }

    def find(self, origin: str) -> Upstream:
        """Return where a request to ``origin`` goes, or how it is answered."""
        parts = urlsplit(origin)
        host, port = parts.hostname or "", parts.port or {"http": 80, "https": 443}[parts.scheme]
        address = self.routes.get(f"{host}:{port}", self.routes.get(host, ""))
        return Upstream(address, self.contexts.get(host), status=self.statuses.get(host, 403))


@contextmanager
def tls_proxy(
    routes: Mapping[str, str],
    *,
    statuses: Mapping[str, int] = MappingProxyType({}),
    direct_hosts: Sequence[str] = ("127.0.0.1", "localhost"),
    private: Mapping[str, PrivateAuthority] = MappingProxyType({}),
) -> Iterator[TlsProxy]:
    """Run the proxy on a free loopback port for as long as the ``with`` block lasts.

    Args:
        routes: host, or ``host:port``, to the ``http://127.0.0.1:PORT`` that answers in its place. Method,
            path, headers and body arrive there as they were sent.
        statuses: host to the status it answers with, and an empty body, when it is not routed; else 403.
        direct_hosts: what programs reach without the proxy. Leave ``localhost`` out to route
            ``localhost:3000``.
        private: host to the authority that signs its certificate in place of the proxy's own, and whose
            certificate a program must show there.
    """
    contexts = {host: authority.context(host, clients_only=True) for host, authority in private.items()}
    make = partial(TlsProxy, routes=routes, statuses=statuses, direct_hosts=direct_hosts, contexts=contexts)
    with (
        tempfile.TemporaryDirectory(prefix="tls-proxy-") as folder,
        running_wire(Path(folder), make, trust_env=False) as proxy,
    ):
        yield proxy
