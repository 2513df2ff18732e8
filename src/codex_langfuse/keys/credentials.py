"""Keys of Langfuse and where they belong: their forms, regions, the header made of them, how to show them.

``scripts/generate-langfuse-auth.sh`` and ``.ps1`` follow the same rules with the same words; tests compare
them. What Langfuse makes of the header is in ``langfuse/auth.py``.
"""

import base64
import ipaddress
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal
from urllib.parse import unquote

from codex_langfuse.page_addresses import page_url

#: The variable in which Codex finds the header; it applies only to traces.
TRACES_HEADERS = "OTEL_EXPORTER_OTLP_TRACES_HEADERS"
TRACES_PATH = "/api/public/otel/v1/traces"

#: What people write in a header for it to be filled in; Codex sends it as it is (0.47 to 0.169).
VARIABLE = re.compile(r"\$\{[^}]*\}|\$[A-Za-z_][A-Za-z0-9_]*|%[A-Za-z_]+%|\$\(")

KeyKind = Literal["public key", "secret key"]
PREFIXES: dict[KeyKind, str] = {"public key": "pk-lf-", "secret key": "sk-lf-"}


@dataclass(frozen=True)
class Region:
    """A region of Langfuse Cloud. A key is valid in one of them only."""

    name: str
    label: str
    url: str


REGIONS = (
    Region("eu", "EU", "https://cloud.langfuse.com"),
    Region("us", "US", "https://us.cloud.langfuse.com"),
    Region("jp", "Japan", "https://jp.cloud.langfuse.com"),
    Region("hipaa", "HIPAA", "https://hipaa.cloud.langfuse.com"),
)
_REGION_NAMES = ", ".join(region.name for region in REGIONS)


class CredentialsError(ValueError):
    """A key or an address that cannot be right: what is wrong, and the page that explains it."""

    def __init__(self, message: str, page: str = page_url("quickstart", "keys")):
        super().__init__(message)
        self.page = page


@dataclass(frozen=True)
class BaseUrl:
    """The address of a Langfuse, without a slash at its end, and what the reader should know about it."""

    url: str
    notes: tuple[str, ...] = ()

    @property
    def place(self) -> str:
        """Name the Langfuse: ``Langfuse Cloud, EU``, or ``your own Langfuse``."""
        for region in REGIONS:
            if region.url == self.url:
                return f"Langfuse Cloud, {region.label}"
        return "your own Langfuse"

    @property
    def traces_endpoint(self) -> str:
        """The address for Codex's ``endpoint``."""
        return self.url + TRACES_PATH


_WHITESPACE = " \t\r\n\v\f"
_ADDRESS = re.compile(r"[][A-Za-z0-9._~:/?#@%=&+-]*")
_AUTHORITY = re.compile(r"(\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:[0-9]{1,5})?")
_USER_INFO = "the address contains a user name or a password; the keys go elsewhere"
#: First parts of paths that Langfuse itself has: pasted from a browser or from an OTLP endpoint.
_LANGFUSE_PATHS = ("api", "otel", "v1", "project", "organization", "auth", "setup", "account")


def read_base_url(text: str) -> BaseUrl:
    """Read a region's name or an address.

    A path is kept, as Langfuse can be built to live under one (``NEXT_PUBLIC_BASE_PATH``); raises
    ``CredentialsError`` for one that is Langfuse's own, with the corrected address.
    """
    trimmed = trim(text)
    notes = [] if trimmed == text else [left_out("address")]
    if not trimmed:
        raise CredentialsError("the address is empty")
    for region in REGIONS:
        if trimmed.lower() in (region.name, region.label.lower()):
            return BaseUrl(region.url, tuple(notes))
    if trimmed.lower().startswith(("sk-", "pk-")):
        raise CredentialsError("that is a key, not an address")
    if not _ADDRESS.fullmatch(trimmed):
        raise CredentialsError("the address contains a character that does not belong there")
    scheme, separator, rest = trimmed.partition("://")
    scheme = scheme.lower()
    if not separator or scheme not in ("http", "https"):
        if "@" in trimmed:
            raise CredentialsError(_USER_INFO)
        raise CredentialsError(
            f'"{trimmed}" is neither a region ({_REGION_NAMES}) nor an address with http:// or https://'
            f"{_guess(trimmed)}"
        )
    authority, path, beyond = _split(rest)
    if "@" in authority:
        raise CredentialsError(_USER_INFO)
    valid = _AUTHORITY.fullmatch(authority)
    if not valid or int((valid[2] or ":0")[1:]) > 65535:
        raise CredentialsError("the address has no valid host or port")
    if authority in ("langfuse.com", "www.langfuse.com"):
        raise CredentialsError("langfuse.com is the website; give the address where you log in")
    on_cloud = authority == "cloud.langfuse.com" or authority.endswith(".cloud.langfuse.com")
    root = "" if on_cloud else _without_own_paths(path)
    corrected = f"{scheme}://{authority}{root}"
    if on_cloud and scheme == "http":
        raise CredentialsError(f"Langfuse Cloud is reached with https:// only: https://{authority}")
    if beyond or root != path:
        raise CredentialsError(f"give only the address of Langfuse: {corrected}")
    if path:
        notes.append(
            f"{path} is kept; that is right only for a Langfuse built with NEXT_PUBLIC_BASE_PATH={path}"
        )
    if scheme == "http" and not is_this_machine(re.sub(r":[0-9]+$", "", authority)):
        notes.append(f"{corrected} is not encrypted; whoever is on the way can read your keys")
    return BaseUrl(corrected, tuple(notes))


def _guess(address: str) -> str:
    """Say what an address without its scheme was to be.

    A number or a name without a dot is of the reader's own network, where no certificate is to be expected.
    """
    found = re.fullmatch(r"([A-Za-z0-9._-]+)(:[0-9]{1,5})?", address)
    if not found:
        return ""
    host, port = found.groups()
    own = host == "localhost" or host.endswith(".localhost")
    public = not own and "." in host and re.search(r"[A-Za-z]", host)
    if not (own or "." in host or port):
        return ""
    return f". Did you mean http{'s' if public else ''}://{address}?"


def _split(rest: str) -> tuple[str, str, bool]:
    """Split what follows ``://``: authority in lower case, path, whether a query or fragment follows."""
    before = re.split(r"[?#]", rest, maxsplit=1)[0]
    authority, slash, path = before.partition("/")
    return authority.lower(), (slash + path).rstrip("/"), before != rest


def _without_own_paths(path: str) -> str:
    for name in _LANGFUSE_PATHS:
        head, found, _ = f"{path}/".partition(f"/{name}/")
        path = head if found else path
    return path.rstrip("/")


def is_this_machine(host: str) -> bool:
    """Return whether a host is a name or an address of loopback."""
    try:
        return ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return host == "localhost" or host.endswith(".localhost")


def trim(text: str) -> str:
    """Leave out what copying adds at both ends: white space, and one pair of quotes."""
    text = text.strip(_WHITESPACE)
    if len(text) >= 2 and text[0] == text[-1] and text[0] in "'\"":
        text = text[1:-1].strip(_WHITESPACE)
    return text


def left_out(what: str) -> str:
    """Say that ``trim`` changed something."""
    return f"left out spaces, line breaks or quotes around the {what}"


def check_key(kind: KeyKind, key: str, *, any_form: bool = False) -> None:
    """Raise ``CredentialsError`` when a trimmed key cannot work.

    With ``any_form`` a key need not look like Langfuse's own: a self-hosted Langfuse takes any text as its
    first keys (``LANGFUSE_INIT_PROJECT_PUBLIC_KEY``). A colon or a character beyond ASCII never works:
    Langfuse splits the pair at the colon and decodes one byte a character (``apiAuth.ts``).
    """
    if not key:
        raise CredentialsError(f"the {kind} is empty")
    if not re.fullmatch(r"[ -~]+", key):
        raise CredentialsError(
            f"the {kind} contains a character that no key has: a line break, or one beyond ASCII"
        )
    if ":" in key:
        raise CredentialsError(f"the {kind} contains a colon; paste one key at a time")
    if any_form:
        return
    prefix = PREFIXES[kind]
    other: KeyKind = "secret key" if kind == "public key" else "public key"
    if key.startswith(PREFIXES[other]):
        raise CredentialsError(f"that is a {other} ({PREFIXES[other]}), not the {kind} ({prefix})")
    if not key.startswith(prefix):
        raise CredentialsError(f"the {kind} {_what_it_is(key, prefix)}")
    if key == prefix or key.endswith("..."):
        raise CredentialsError(f"the {kind} is incomplete; copy all of it")
    if " " in key:
        raise CredentialsError(f"the {kind} contains a space")


def _what_it_is(key: str, prefix: str) -> str:
    if key.startswith("sk-ant-"):
        return "is one of Anthropic (sk-ant-), not of Langfuse"
    if key.startswith("sk-"):
        return "is one of OpenAI (sk-), not of Langfuse"
    if key.startswith(("Basic ", "cGstbGYt")):
        return "is a header made of both keys already, not a key"
    return (
        f"does not begin with {prefix}. If your own Langfuse was set up with such a key, add --any-key-form"
    )


def check_pair(public_key: str, secret_key: str, *, any_form: bool = False) -> None:
    """Raise ``CredentialsError`` when a pair of trimmed keys cannot work."""
    if not any_form:
        _refuse_swapped(public_key, secret_key)
    check_key("public key", public_key, any_form=any_form)
    check_key("secret key", secret_key, any_form=any_form)


def _refuse_swapped(public_key: str, secret_key: str) -> None:
    if public_key.startswith("sk-lf-") and secret_key.startswith("pk-lf-"):
        raise CredentialsError(
            "the two keys are swapped: the public key begins with pk-lf-, the secret key with sk-lf-"
        )


def basic_authorization(public_key: str, secret_key: str) -> str:
    """Make the value of the ``Authorization`` header, in one line."""
    return "Basic " + base64.b64encode(f"{public_key}:{secret_key}".encode()).decode()


def traces_headers(authorization: str) -> str:
    """Make the value of ``OTEL_EXPORTER_OTLP_TRACES_HEADERS``; Codex decodes the percent sign's codes."""
    return "Authorization=" + authorization.replace(" ", "%20")


def mask(key: str) -> str:
    """Show a key by its prefix and, if enough stays hidden, its last four characters: ``sk-lf-…1234``."""
    prefix = next((prefix for prefix in PREFIXES.values() if key.startswith(prefix)), "")
    hidden = key[len(prefix) :]
    return f"{prefix}…{hidden[-4:]}" if len(hidden) >= 12 else f"{prefix}…"


def base_url_in(environment: Mapping[str, str]) -> str | None:
    """Return the address the environment names: ``LANGFUSE_BASE_URL``, or the older ``LANGFUSE_HOST``."""
    return environment.get("LANGFUSE_BASE_URL") or environment.get("LANGFUSE_HOST") or None


def authorization_in(traces_headers: str) -> str | None:
    """Return the ``Authorization`` in ``OTEL_EXPORTER_OTLP_TRACES_HEADERS``, decoded as Codex does."""
    for pair in traces_headers.split(","):
        name, _, value = pair.partition("=")
        if name.strip().lower() == "authorization":
            return unquote(value.strip())
    return None


@dataclass(frozen=True)
class Access:
    """What it takes to speak to a Langfuse, and the variables it was found in."""

    base_url: BaseUrl
    authorization: str = field(repr=False)
    source: str
    notes: tuple[str, ...] = ()


def access_in(environment: Mapping[str, str], base_url: str | None = None) -> Access:
    """Find keys and address in the environment; ``base_url`` wins over the environment's.

    A whole pair comes before ``OTEL_EXPORTER_OTLP_TRACES_HEADERS``. Keys may have any form, since the server
    will be asked. Raises ``CredentialsError`` when one is missing or cannot be right.
    """
    address = base_url or base_url_in(environment)
    if address is None:
        raise CredentialsError(
            "no address: set LANGFUSE_BASE_URL, give --region or --base-url, or make the key file: "
            "codex-langfuse auth --write ~/.config/codex-langfuse/env"
        )
    url = read_base_url(address)
    headers = environment.get(TRACES_HEADERS, "")
    for_codex = authorization_in(headers)
    public_key = trim(environment.get("LANGFUSE_PUBLIC_KEY", ""))
    secret_key = trim(environment.get("LANGFUSE_SECRET_KEY", ""))
    if (public_key and secret_key) or ((public_key or secret_key) and for_codex is None):
        _refuse_swapped(public_key, secret_key)
        check_key("public key", public_key, any_form=True)
        check_key("secret key", secret_key, any_form=True)
        authorization = basic_authorization(public_key, secret_key)
        notes: tuple[str, ...] = ()
        if for_codex is not None and for_codex != authorization:
            notes = (f"{TRACES_HEADERS} holds another header than these keys make, and Codex sends that one",)
        return Access(url, authorization, "LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY", url.notes + notes)
    if for_codex is None:
        wrong = f"{TRACES_HEADERS} has no Authorization in it" if headers else "no keys"
        raise CredentialsError(
            f"{wrong}: set LANGFUSE_PUBLIC_KEY and LANGFUSE_SECRET_KEY, or make the key file: "
            "codex-langfuse auth --write ~/.config/codex-langfuse/env"
        )
    if not re.fullmatch(r"[ -~]+", for_codex):
        raise CredentialsError(f"{TRACES_HEADERS} has a line break or a character beyond ASCII in it")
    return Access(url, for_codex, TRACES_HEADERS, url.notes)
