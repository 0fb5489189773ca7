"""Where an enrolled agent keeps who it is.

STATE/identity/agent.pem   its certificate and the key of it, in one file, mode 0600: one rename
                           changes both, so they always fit
STATE/identity/ca.crt      the authorities it believes
"""

import os
from dataclasses import dataclass
from pathlib import Path

from opentrail.certificate import CertificateFacts, certificates_in, facts_of
from opentrail.errors import DamagedError
from opentrail.files import DISK

FOLDER = "identity"


@dataclass(frozen=True, slots=True)
class IdentityPlace:
    """The files of one agent."""

    state: Path

    @property
    def pair(self) -> Path:
        return self.state / FOLDER / "agent.pem"

    @property
    def authority(self) -> Path:
        return self.state / FOLDER / "ca.crt"

    def facts(self) -> CertificateFacts:
        """Of the present certificate; OSError, DamagedError."""
        return facts_of(self.pair.read_text())

    def keep(self, certificate: str, key: str, authority: str) -> None:
        """Take up a new identity; after a crash it is the old one or the new one."""
        found = certificates_in(certificate)
        if not found or not certificates_in(authority):
            raise DamagedError("what the aggregator sent holds no certificate; nothing was changed")
        facts_of(found[0])
        folder = self.pair.parent
        DISK.make_directory(folder)
        os.chmod(folder, 0o700)
        # First whom to believe: a new authority may have signed both sides.
        DISK.replace(self.authority, authority.encode())
        DISK.replace(self.pair, ("".join(found) + key).encode())
