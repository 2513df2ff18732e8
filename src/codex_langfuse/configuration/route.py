"""The names of the routes; apart from ``routes``, so that the command line knows them at once."""

from enum import StrEnum


class Route(StrEnum):
    """How telemetry gets to Langfuse; ``off`` is not at all."""

    DIRECT = "direct"
    RELAY = "relay"
    COLLECTOR = "collector"
    OFF = "off"
