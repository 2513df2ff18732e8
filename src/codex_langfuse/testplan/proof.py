"""What a case has to show for itself.

A case passes when everything that its definition expects was checked and held. So no case passes by having
looked at nothing.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from codex_langfuse.keys.credentials import mask
from codex_langfuse.masking import mask_secrets
from codex_langfuse.testplan.definition import Case

_LONGEST = 400


def in_words(seen: object) -> str:
    """Return what was seen as a text: the members of a list or mapping with commas between them."""
    if isinstance(seen, Mapping):
        values, texts = list(seen.values()), [f"{name} {in_words(value)}" for name, value in seen.items()]
    elif isinstance(seen, list | tuple | set | frozenset):
        values = sorted(seen) if isinstance(seen, set | frozenset) else list(seen)
        texts = [in_words(value) for value in values]
    else:
        return str(seen)
    nested = any(isinstance(value, Mapping | list | tuple) for value in values)
    return ("; " if nested else ", ").join(texts) or "none"


@dataclass(frozen=True)
class Check:
    """One thing that was expected: its name in the definition, whether it held, and what was seen."""

    name: str
    holds: bool
    seen: str


@dataclass
class Proof:
    """The checks of one case as they are made.

    ``secrets`` are never shown, whatever is seen.
    """

    case: Case
    secrets: Iterable[str] = ()
    checks: list[Check] = field(default_factory=list)

    def check(self, name: str, holds: object, seen: object) -> None:
        """Record whether an expectation held, and what was seen.

        Raises:
            KeyError: the definition expects nothing of that name, or it was checked before.
        """
        if name not in self.case.checks or any(check.name == name for check in self.checks):
            raise KeyError(f"{self.case.id}: {name}")
        self.checks.append(Check(name, bool(holds), self.masked(in_words(seen))))

    @property
    def missing(self) -> list[str]:
        """What was expected and not looked at."""
        seen = {check.name for check in self.checks}
        return [name for name in self.case.checks if name not in seen]

    @property
    def passed(self) -> bool:
        """Whether everything expected was seen."""
        return not self.missing and all(check.holds for check in self.checks)

    def masked(self, text: str) -> str:
        """Return ``text`` in one line, not too long, without anything that looks like a secret."""
        for secret in self.secrets:
            text = text.replace(secret, mask(secret))
        line = " ".join("".join(each if each.isprintable() else " " for each in mask_secrets(text)).split())
        return line if len(line) <= _LONGEST else f"{line[:_LONGEST]}…"
