"""A server's files of a private authority."""

from pathlib import Path

from codex_langfuse.testplan.certificates import PrivateAuthority


def certify(authority: PrivateAuthority, host: str, folder: Path) -> None:
    """Write ``server.pem`` and ``server.key`` of a server called ``host`` into ``folder``."""
    server = authority.ca.issue_cert(host)
    server.cert_chain_pems[0].write_to_path(str(folder / "server.pem"))
    server.private_key_pem.write_to_path(str(folder / "server.key"))
    (folder / "server.key").chmod(0o600)
