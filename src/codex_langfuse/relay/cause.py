"""What can be wrong with the destination of the relay's turns."""

from enum import StrEnum

from codex_langfuse.page_addresses import page_url


class Cause(StrEnum):
    """What is wrong with a destination."""

    KEYS = "keys"  # it does not accept the keys
    ADDRESS = "address"  # there is nothing that takes traces
    ANSWER = "answer"  # something else answers than what takes traces
    BUSY = "busy"  # it asks for less, or for later
    SERVER = "server"  # it fails
    TLS = "tls"  # no encrypted connection that can be trusted
    NETWORK = "network"  # no connection, or no answer

    @property
    def page(self) -> str:
        """The page that explains it."""
        anchors = {
            Cause.KEYS: "refused-keys",
            Cause.ADDRESS: "endpoint-path",
            Cause.ANSWER: "endpoint-path",
            Cause.TLS: "unreachable",
            Cause.NETWORK: "unreachable",
        }
        if self in anchors:
            return page_url("guide/troubleshooting", anchors[self])
        return page_url("guide/relay", "reliability")


#: While one of these lasts, somebody has to do something.
NEEDS_SOMEBODY = frozenset({Cause.KEYS, Cause.ADDRESS, Cause.ANSWER, Cause.TLS})
