"""A private certificate authority, as companies have, and the files that it gives to a user of Codex."""

import ssl
from pathlib import Path

import trustme


class PrivateAuthority:
    """Signs servers, and lets in only who shows a certificate that it signed."""

    def __init__(self) -> None:
        self._authority = trustme.CA()

    def guard(self, context: ssl.SSLContext, host: str) -> None:
        """Make ``context`` that of a server called ``host`` which demands a client's certificate."""
        self._authority.issue_cert(host).configure_cert(context)
        self._authority.configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED

    def hand_out(self, folder: Path) -> None:
        """Write ``ca.pem``, and a client's ``client.pem`` and ``client.key``, into ``folder``."""
        folder.mkdir(parents=True, exist_ok=True)
        client = self._authority.issue_cert("codex@example.com", common_name="codex")
        self._authority.cert_pem.write_to_path(str(folder / "ca.pem"))
        client.cert_chain_pems[0].write_to_path(str(folder / "client.pem"))
        key = folder / "client.key"
        key.touch(mode=0o600)
        client.private_key_pem.write_to_path(str(key))

    def certify(self, host: str, folder: Path) -> None:
        """Write ``server.pem`` and ``server.key`` of a server called ``host`` into ``folder``."""
        server = self._authority.issue_cert(host)
        server.cert_chain_pems[0].write_to_path(str(folder / "server.pem"))
        server.private_key_pem.write_to_path(str(folder / "server.key"))
        (folder / "server.key").chmod(0o600)
