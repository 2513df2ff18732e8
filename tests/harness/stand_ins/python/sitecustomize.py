"""For every Python that a page starts: ``localhost:3000`` is a Langfuse behind the proxy, not this machine.

The tools never take a proxy to this machine, and on a page the proxy is the way to its Langfuse.
"""

from contextlib import suppress

with suppress(ImportError):
    from codex_langfuse import proxies

    proxies.takes_no_proxy = lambda host: host in ("127.0.0.1", "::1")
