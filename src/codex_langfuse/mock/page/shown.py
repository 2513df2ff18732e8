"""How telemetry is put before a reader: masked, cut, harmless; times, sizes and numbers."""

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from markupsafe import Markup

from codex_langfuse.masking import mask_secrets
from codex_langfuse.mock.langfuse.observations import flat_metadata
from codex_langfuse.mock.page.ledger import LONGEST_SHOWN, address_of

#: Characters shown of an input, an output, or a value of the metadata.
LONGEST_VALUE = 2_000
LONGEST_NAME = 200
MOST_METADATA = 100

_HARMLESS = {
    **{code: chr(0x2400 + code) for code in range(32) if chr(code) not in "\t\n"},
    0x7F: "\u2421",
    # What would turn the direction of the text around it, or hide in it.
    **{
        code: f"[U+{code:04X}]"
        for code in (0x061C, 0x200B, 0x200E, 0x200F, *range(0x202A, 0x202F), *range(0x2066, 0x206A), 0xFEFF)
    },
    **dict.fromkeys(range(0xD800, 0xE000), "\ufffd"),
}


@dataclass(frozen=True)
class Cut:
    """A text as it is shown, the length it really has, and the name of the whole one if it was cut."""

    text: str
    length: int
    address: str | None


def harmless(text: str) -> str:
    """Replace what a browser would not show, or what would change how the rest is shown."""
    return text.translate(_HARMLESS)


def cut(text: str, longest: int = LONGEST_SHOWN) -> Cut:
    """Mask and cut a text."""
    visible = harmless(mask_secrets(text[: 4 * longest]))
    if len(text) <= longest:
        return Cut(visible, len(text), None)
    return Cut(visible[:longest], len(text), address_of(text))


def short(text: str, longest: int = LONGEST_NAME) -> str:
    """Mask and cut a text to one that fits into a line."""
    visible = harmless(mask_secrets(text[: 4 * longest])).replace("\n", "\u2424")
    return visible if len(visible) <= longest else visible[: longest - 1] + "…"


def whole(text: str) -> str:
    """Return a text in full, secrets masked."""
    return mask_secrets(text)


def metadata_of(row: dict[str, Any]) -> tuple[list[tuple[str, str]], list[tuple[str, str]], int]:
    """Return an observation's own metadata, that of its resource and scope, and how many are left out."""
    own, common = [], []
    for key, text in reversed(flat_metadata(row["metadata"]).items()):
        if key.startswith(("resourceAttributes.", "scope.")):
            common.append((key, text))
        else:
            own.append((key.removeprefix("attributes."), text))
    left_out = max(0, len(own) - MOST_METADATA) + max(0, len(common) - MOST_METADATA)
    return own[:MOST_METADATA], common[:MOST_METADATA], left_out


def moment(milliseconds: int) -> Markup:
    """Write a time as this machine's clock shows it."""
    try:
        utc = datetime.fromtimestamp(milliseconds / 1000, UTC)
        local = utc.astimezone()
    except (OverflowError, ValueError, OSError):
        return Markup("–")
    return Markup('<time datetime="{}">{}</time>').format(
        utc.strftime("%Y-%m-%dT%H:%M:%SZ"), local.strftime("%Y-%m-%d %H:%M:%S")
    )


def duration(milliseconds: float) -> str:
    """Write a length of time: ``12 ms``, ``3.4 s``, ``5 min 6 s``."""
    if milliseconds < 1000:
        return f"{milliseconds:.0f} ms"
    if milliseconds < 60_000:
        return f"{milliseconds / 1000:.1f} s"
    minutes, seconds = divmod(round(milliseconds / 1000), 60)
    return f"{minutes:,} min {seconds} s"


def size(count: int) -> str:
    """Write a number of bytes: ``532 B``, ``1.2 MB``."""
    if count < 1000:
        return f"{count} B"
    if count < 1_000_000:
        return f"{count / 1000:.1f} kB"
    return f"{count / 1_000_000:.1f} MB"


def number(value: float) -> str:
    """Write a number with its thousands apart."""
    return f"{value:,.0f}" if abs(value) < 1e15 else f"{value:.3g}"


def money(value: float) -> str:
    """Write US dollars."""
    return f"${value:.4f}" if value else "–"
