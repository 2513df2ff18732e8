"""Who may speak to the relay.

On loopback: programs of this machine, and no page in a browser. A browser says ``Origin`` when a page
posts, and a page that had its own name lead to 127.0.0.1 (DNS rebinding) shows by that name in ``Host``.
On any other address: who has the token, or a client certificate.
"""

import hmac
import ipaddress
import re
import socket
from collections.abc import Mapping
from dataclasses import dataclass, field

from codex_langfuse.relay.receiving import RefusedRequestError

#: Paths that tell nothing but whether the relay works; probes come without a token.
_OPEN_PATHS = frozenset({"/healthz", "/readyz"})


@dataclass(frozen=True)
class Address:
    """Where to listen."""

    host: str
    port: int

    @classmethod
    def parse(cls, text: str) -> "Address":
        """Read ``127.0.0.1:4318``, ``[::1]:4318`` or ``localhost:0``; raises ``ValueError``."""
        match = re.fullmatch(
            r"(?:\[(?P<v6>[0-9a-fA-F:.]+)\]|(?P<host>[^:\[\]/\s]+)):(?P<port>[0-9]{1,5})", text
        )
        if match is None or int(match["port"]) > 65535:
            raise ValueError(f'"{text}" is not HOST:PORT, such as 127.0.0.1:4318')
        return cls(match["v6"] or match["host"], int(match["port"]))

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"

    @property
    def is_loopback(self) -> bool:
        """Whether nobody but this machine reaches it; raises ``OSError`` for a name that leads nowhere."""
        found = socket.getaddrinfo(self.host, self.port, type=socket.SOCK_STREAM)
        return all(ipaddress.ip_address(each[4][0]).is_loopback for each in found)


@dataclass(frozen=True)
class Admission:
    """The rules of one relay.

    ``hosts`` is what ``Host`` may be, in lower case and without a port; ``None`` is anything.
    """

    hosts: frozenset[str] | None
    token: str | None = field(default=None, repr=False)

    @classmethod
    def on(cls, address: Address, token: str | None) -> "Admission":
        """Make the rules for a relay that listens on ``address``."""
        if not address.is_loopback:
            return cls(None, token)
        return cls(
            frozenset({"localhost", "127.0.0.1", "[::1]", str(address).rpartition(":")[0].lower()}), token
        )

    def check(self, path: str, headers: Mapping[str, str]) -> None:
        """Raise ``RefusedRequestError`` (401 or 403) when a request may not pass; headers in lower case."""
        if "origin" in headers:
            raise RefusedRequestError(403, "not for pages in a browser")
        if self.hosts is not None:
            host = re.sub(r":[0-9]*$", "", headers.get("host", "").lower())
            if host not in self.hosts:
                raise RefusedRequestError(403, "unknown Host: use the address the relay printed")
        if self.token is not None and path not in _OPEN_PATHS:
            given = headers.get("authorization", "").encode("latin-1", "replace")
            if not hmac.compare_digest(given, f"Bearer {self.token}".encode()):
                raise RefusedRequestError(401, "the header Authorization must be: Bearer, a space, the token")
