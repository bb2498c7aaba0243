"""Whether a source that is reached by TLS is the one it says it is.

Cameras come with certificates that they signed themselves, so without a file of authorities any is
accepted: what is sent cannot be read on the way, and nothing proves who sends it. With such a file
the certificate has to be signed by one of them, or be one of them, and name the host.

FFmpeg does not say that a certificate was the trouble: after a failure, Python's own TLS is asked.
Of HLS, FFmpeg checks the server of the playlist only, not those of its pieces.
"""

import ssl
from pathlib import Path
from socket import create_connection
from urllib.parse import urlsplit

PORTS = {"rtsps": 322, "rtmps": 443, "https": 443}


def is_encrypted(scheme: str) -> bool:
    return scheme in PORTS


def tls_options(ca_file: Path | None) -> dict[str, str]:
    """What FFmpeg is to be told."""
    if ca_file is None:
        return {"tls_verify": "0"}
    return {"tls_verify": "1", "ca_file": str(ca_file)}


def why_untrusted(url: str, *, ca_file: Path, timeout_s: float) -> str:
    """What is wrong with the server's certificate; '' if it is not that."""
    address = urlsplit(url)
    host, port = address.hostname or "", address.port or PORTS[address.scheme]
    try:
        trusted = ssl.create_default_context(cafile=str(ca_file))
    except (OSError, ssl.SSLError) as error:
        return f"{ca_file} cannot be read: {error.strerror or error}"
    try:
        with (
            create_connection((host, port), timeout=timeout_s) as plain,
            trusted.wrap_socket(plain, server_hostname=host),
        ):
            return ""
    except ssl.SSLCertVerificationError as error:
        return error.verify_message.rstrip(".")
    except OSError:
        return ""
