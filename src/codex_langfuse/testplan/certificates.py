"""A private certificate authority, as companies have: it vouches for servers, and for a user of Codex."""

import ssl
from dataclasses import dataclass
from pathlib import Path

import trustme

#: Whom the client's certificate names.
CLIENT = "codex@laptop.example"


@dataclass(frozen=True)
class ClientFiles:
    """What a client needs (PEM): the authority's certificate, its own, and its key."""

    authority: Path
    certificate: Path
    key: Path

    @property
    def trust(self) -> dict[str, str]:
        """Codex's settings to trust the server."""
        return {"ca-certificate": str(self.authority)}

    @property
    def half(self) -> dict[str, str]:
        """The same, and the certificate without its key."""
        return {**self.trust, "client-certificate": str(self.certificate)}

    @property
    def mutual(self) -> dict[str, str]:
        """The same, and the key."""
        return {**self.half, "client-private-key": str(self.key)}


class PrivateAuthority:
    """An authority; ``ca`` makes its certificates."""

    def __init__(self) -> None:
        self.ca = trustme.CA(organization_name="Example's own authority")

    def context(self, host: str, *, clients_only: bool = False) -> ssl.SSLContext:
        """Return the TLS context of a server called ``host``.

        With ``clients_only`` it lets in only clients that the authority vouches for.
        """
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.ca.issue_cert(host).configure_cert(context)
        if clients_only:
            context.verify_mode = ssl.CERT_REQUIRED
            self.ca.configure_trust(context)
        return context

    def hand_out(self, folder: Path) -> ClientFiles:
        """Write ``ca.pem``, ``client.pem`` and ``client.key`` into ``folder``."""
        folder.mkdir(parents=True, exist_ok=True)
        files = ClientFiles(folder / "ca.pem", folder / "client.pem", folder / "client.key")
        client = self.ca.issue_cert(CLIENT)
        self.ca.cert_pem.write_to_path(str(files.authority))
        client.cert_chain_pems[0].write_to_path(str(files.certificate))
        files.key.touch(mode=0o600)
        client.private_key_pem.write_to_path(str(files.key))
        return files
