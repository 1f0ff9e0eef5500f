"""Secrets that must be read again (to sign with) are stored encrypted; the key is outside of the database."""

import base64
import hashlib
from collections.abc import Sequence

from cryptography.fernet import Fernet, InvalidToken, MultiFernet


class CannotOpen(Exception):
    """A secret was sealed by a key that is not among ours."""


class Sealer:
    """Seals by the first key and opens by any, so that a key can be replaced while both are known."""

    def __init__(self, keys: Sequence[str]) -> None:
        # Fernet wants exactly 32 bytes. The text is random and long, so one hash is enough to get them.
        fernets = [
            Fernet(base64.urlsafe_b64encode(hashlib.sha256(b"skald\0" + key.encode()).digest()))
            for key in keys
        ]
        self._fernet = MultiFernet(fernets)

    def seal(self, secret: str) -> bytes:
        return self._fernet.encrypt(secret.encode())

    def open(self, sealed: bytes) -> str:
        """Raises CannotOpen."""
        try:
            return self._fernet.decrypt(sealed).decode()
        except InvalidToken:
            raise CannotOpen("a webhook secret was sealed by another SKALD_SECRET_KEY") from None


def sealer_of(keys: Sequence[str]) -> Sealer | None:
    """None without a key: then nothing can be sealed."""
    return Sealer(keys) if keys else None
