"""The layers a trace passes on its way into Langfuse, and what to do about each when it fails."""

from enum import StrEnum

from codex_langfuse.page_addresses import page_url

UNREACHABLE = page_url("guide/troubleshooting", "unreachable")
ENDPOINT_PATH = page_url("guide/troubleshooting", "endpoint-path")
REFUSED_KEYS = page_url("guide/troubleshooting", "refused-keys")
LAYERS = page_url("guide/troubleshooting", "verify-layers")


class Layer(StrEnum):
    """A layer, in the order in which a trace passes them."""

    ADDRESS = "address"
    TLS = "tls"
    PATH = "path"
    KEYS = "keys"
    INGESTION = "ingestion"
    READ = "read"


class LayerError(Exception):
    """A layer failed: what was seen, what to do, and the page that explains it."""

    def __init__(self, layer: Layer, message: str, *remedies: str, page: str):
        super().__init__(message)
        self.layer = layer
        self.remedies = remedies
        self.page = page
