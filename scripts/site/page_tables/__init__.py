"""The tables of the pages that are made from data, one module for each kind of data.

A module's ``TABLES`` has, for each name that a page has as ``<!-- generated: NAME -->``, the function
that returns its Markdown in a language (``en`` or ``zh``). In come the package itself, recordings of Codex
and measured numbers; ``generate_pages.py`` writes what comes out into the pages. The words of ``x.py`` are in
``x.words.toml``.
"""

from collections.abc import Callable

from page_tables import (
    cloud,
    collector,
    comparison,
    configuration,
    dashboard,
    environment,
    glossary,
    langfuse_mapping,
    masking,
    options,
    performance,
    prices,
    relay,
    relay_mapping,
    replaced,
    rooms,
    telemetry,
    test_plan,
    tracked_events,
    versions,
    volume,
    workflows,
)

TABLES: dict[str, Callable[[str], str]] = {
    **comparison.TABLES,
    **cloud.TABLES,
    **collector.TABLES,
    **configuration.TABLES,
    **dashboard.TABLES,
    **environment.TABLES,
    **glossary.TABLES,
    **masking.TABLES,
    **options.TABLES,
    **relay.TABLES,
    **replaced.TABLES,
    **rooms.TABLES,
    **performance.TABLES,
    **prices.TABLES,
    **volume.TABLES,
    **workflows.TABLES,
    **tracked_events.TABLES,
    **telemetry.TABLES,
    **test_plan.TABLES,
    **langfuse_mapping.TABLES,
    **relay_mapping.TABLES,
    **versions.TABLES,
}
