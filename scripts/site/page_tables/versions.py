"""Tables of versions: what is verified, and where Codex and Langfuse changed.

From ``scripts/site/versions.toml``, ``codex/versions.py`` and the recordings. A change that shows in
recordings must show between the versions that it was measured on, or the table is not made.
"""

import tomllib
from functools import cache
from importlib.metadata import version as installed
from itertools import dropwhile
from pathlib import Path
from typing import Any

import recordings
from codex_langfuse.codex.versions import OTEL_KEYS, Version
from hooks.tested_with import pinned_codex
from page_tables.markdown import table, words_of
from recorded_names import names

_TEXTS = words_of(__file__)

#: Written by ``scripts/matrix``.
MATRIX = Path(__file__).parents[1] / "version_matrix.toml"

FILE = Path(__file__).parents[1] / "versions.toml"


@cache
def verified() -> dict[str, Any]:
    """Return what ``versions.toml`` says."""
    return tomllib.loads(FILE.read_text(encoding="utf-8"))


@cache
def _shows(change: tuple[str, ...], recording: str) -> bool:
    kind, *sign = change
    if kind in ("sign", "no_sign"):
        return (tuple(sign) in names(recording)) == (kind == "sign")
    (text,) = sign
    spans = b"".join(recordings.bodies(recording, "traces"))
    return (text.encode() in spans) == (kind == "text")


def recorded_bounds(change: dict[str, Any]) -> tuple[str, str] | None:
    """Return the last recorded version without a change and the first with it; None if it does not show.

    Raises:
        ValueError: the recordings contradict the versions that it was measured on.
    """
    kind = next((kind for kind in ("sign", "no_sign", "text", "no_text") if kind in change), None)
    if kind is None:
        return None
    sign = (kind, *([change[kind]] if isinstance(change[kind], str) else change[kind]))
    traced = kind != "sign"
    shown = {
        codex: _shows(sign, recording)
        for codex, recording in recordings.simple_turns().items()
        if not traced or ("resource", "traces") in names(recording)
    }
    if kind == "no_sign":  # The versions before what is gone had it do not have it either.
        shown = dict(dropwhile(lambda each: each[1], shown.items()))
    with_it = [codex for codex, shows in shown.items() if shows]
    first = with_it[0]
    without = [codex for codex in shown if Version.parse(codex) < Version.parse(first)]
    last = without[-1] if without else ""
    since, before = Version.parse(change["since"]), Version.parse(change["before"])
    if not since <= Version.parse(first) or (last and not Version.parse(last) <= before):
        raise ValueError(f"{change['en']}: recorded from {first}, not in {last}; measured since {since}")
    return last, first


def verified_versions(language: str) -> str:
    """Return the versions that this documentation was run with."""
    langfuse = verified()["langfuse"]
    recorded = _TEXTS["comma"][language].join(recordings.simple_turns())
    versions = (
        pinned_codex(),
        recorded,
        langfuse["answers"],
        langfuse["legacy"],
        installed("langfuse"),
    )
    head, *said = _TEXTS["verified_versions"][language]
    rows = [[what, version, how] for (what, how), version in zip(said, versions, strict=True)]
    return table(head, rows)


def codex_changes(language: str) -> str:
    """Return where Codex changed: on which releases that was measured, and what the recordings show."""
    head = _TEXTS["codex_changes_head"][language]
    rows = []
    for change in verified()["codex"]["change"]:
        bounds = recorded_bounds(change)
        comma, left, right = _TEXTS["codex_changes_words"][language]
        keys = comma.join(f"`{key}`" for key in change.get("keys", []))
        rows.append(
            [
                change["since"],
                f"{change[language]}{left + keys + right if keys else ''}",
                change["before"],
                _bounds(bounds, language),
            ]
        )
    return table(head, rows)


def _bounds(bounds: tuple[str, str] | None, language: str) -> str:
    if bounds is None:
        return str(_TEXTS["bounds_measured_separately"][language])
    last, first = bounds
    if not last:
        return str(_TEXTS["bounds_from"][language].format(first))
    return str(_TEXTS["bounds"][language].format(last, first))


def version_matrix(language: str) -> str:
    """Return what came of the combinations that ``scripts/matrix`` ran with each version."""
    head, yes, no = _TEXTS["version_matrix_codex"][language]
    shown = {True: yes, False: no, None: "–"}
    kept = tomllib.loads(MATRIX.read_text(encoding="utf-8"))
    parts = ("loads", "arrives", "tokens", "no_content", "relay", "caller", "labels")
    return table(
        head,
        (
            [codex, str(each["runs"]), *(shown[each.get(part)] for part in parts)]
            for codex, each in kept.items()
        ),
    )


def otel_keys(language: str) -> str:
    """Return the keys of ``[otel]`` by the version that first understands them."""
    head = _TEXTS["otel_keys_head"][language]
    comma = _TEXTS["comma"][language]
    by_version: dict[Version, list[str]] = {}
    for key, since in OTEL_KEYS.items():
        by_version.setdefault(since, []).append(key)
    return table(
        head,
        ([str(since), comma.join(f"`{key}`" for key in keys)] for since, keys in sorted(by_version.items())),
    )


def langfuse_changes(language: str) -> str:
    """Return where Langfuse changed what it does with spans."""
    head = _TEXTS["langfuse_changes_head"][language]
    return table(head, ([change["since"], change[language]] for change in verified()["langfuse"]["change"]))


TABLES = {
    "verified-versions": verified_versions,
    "codex-changes": codex_changes,
    "version-matrix": version_matrix,
    "otel-keys-since": otel_keys,
    "langfuse-changes": langfuse_changes,
}
