"""Which requests take a proxy: none to this machine, whatever the environment says.

What Codex does differs (guide/proxies.md): it asks NO_PROXY only, so its traffic to a relay here can leave.
"""

from collections.abc import Mapping
from typing import Any
from urllib.parse import urlsplit

from codex_langfuse.keys.credentials import is_this_machine


def takes_no_proxy(host: str) -> bool:
    """Return whether a host is reached without a proxy."""
    return is_this_machine(host)


def client_options(url: str) -> dict[str, Any]:
    """Return the options of the httpx client that sends to ``url``: no proxy to this machine.

    Certificate authorities come from the environment in either case.
    """
    import httpx

    parts = urlsplit(url)
    if not takes_no_proxy(parts.hostname or ""):
        return {}
    return {"trust_env": False, "verify": httpx.create_ssl_context() if parts.scheme == "https" else True}


def proxy_trouble(url: str) -> str | None:
    """Say what is wrong with the proxy in the environment for ``url``, None if it can be used."""
    import httpx

    try:
        httpx.Client(**client_options(url)).close()
    except (ValueError, ImportError, httpx.InvalidURL):
        return (
            "the proxy in the environment cannot be used: HTTP_PROXY, HTTPS_PROXY and ALL_PROXY take "
            "http://, https://, socks5:// and socks5h://"
        )
    return None


def no_proxy_line(url: str, environment: Mapping[str, str]) -> str | None:
    """Return the line that keeps Codex's traffic to ``url`` from a proxy, None where none is in the way."""
    parts = urlsplit(url)
    host = parts.hostname or ""
    found = {
        name.lower().removesuffix("_proxy"): value
        for name, value in environment.items()
        if name.lower().endswith("_proxy") and value
    }
    if not (found.get(parts.scheme) or found.get("all")) or not takes_no_proxy(host):
        return None
    around = [entry.strip() for entry in found.get("no", "").split(",") if entry.strip()]
    if any(entry == "*" or f".{host}".endswith(f".{entry.lstrip('.')}") for entry in around):
        return None
    return f'export NO_PROXY="{",".join(dict.fromkeys([*around, "127.0.0.1", "localhost"]))}"'
