"""Signatures of webhooks, as https://www.standardwebhooks.com has them. Pure."""

import base64
import binascii
import hashlib
import hmac

SECRET_PREFIX = "whsec_"


def secret_of(text: str) -> bytes:
    """The bytes of a secret that is written `whsec_` and base64.

    Raises:
        ValueError
    """
    try:
        secret = base64.b64decode(text.removeprefix(SECRET_PREFIX), validate=True)
    except binascii.Error:
        secret = b""
    if not text.startswith(SECRET_PREFIX) or not 24 <= len(secret) <= 64:
        raise ValueError(f"it must be {SECRET_PREFIX} and the base64 of 24 to 64 bytes")
    return secret


def signature(secret: bytes, *, message_id: str, sent_s: int, body: bytes) -> str:
    signed = b".".join((message_id.encode(), str(sent_s).encode(), body))
    return "v1," + base64.b64encode(hmac.digest(secret, signed, hashlib.sha256)).decode()
