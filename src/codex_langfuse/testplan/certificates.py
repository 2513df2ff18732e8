"""A private certificate authority, with a server and a client that it vouches for."""

import ssl
from dataclasses import dataclass
from pathlib import Path

import trustme

#: Whom the client's certificate names.
CLIENT = "codex@laptop.example"


@dataclass(frozen=True)
class PrivateAuthority:
    """The files (PEM) that a client needs, and the TLS context of the server."""

    authority: Path
    certificate: Path
    key: Path
    context: ssl.SSLContext

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


def private_authority(folder: Path, host: str, *, clients_only: bool = False) -> PrivateAuthority:
    """Make an authority in a new ``folder``, with a server called ``host``.

    With ``clients_only`` the server lets in only clients that the authority vouches for.
    """
    folder.mkdir()
    authority = trustme.CA(organization_name="Example's own authority")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(host).configure_cert(context)
    if clients_only:
        context.verify_mode = ssl.CERT_REQUIRED
        authority.configure_trust(context)
    made = PrivateAuthority(folder / "ca.pem", folder / "client.pem", folder / "client.key", context)
    client = authority.issue_cert(CLIENT)
    authority.cert_pem.write_to_path(str(made.authority))
    for blob in client.cert_chain_pems:
        blob.write_to_path(str(made.certificate), append=True)
    client.private_key_pem.write_to_path(str(made.key))
    return made
