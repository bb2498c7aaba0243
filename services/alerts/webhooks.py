"""Telling a web server of an alert, signed as https://www.standardwebhooks.com has it.

    webhook-id          the message's id: the same however often it is tried
    webhook-timestamp   when it is sent, seconds since 1970
    webhook-signature   v1,BASE64(HMAC-SHA256(secret, "ID.TIMESTAMP.BODY"))

Nothing leads into a private network unless that is allowed: the address that was looked up and
checked is the one that is connected to, and redirections are not followed.
"""

import http.client
import ipaddress
import socket
import ssl
from urllib.parse import urlsplit

from services.errors import AddressNotAllowed, NotDelivered
from services.signing import signature

TIMEOUT_S = 5.0
NAT64 = ipaddress.IPv6Network("64:ff9b::/96")  # IPv4 addresses in IPv6 ones
MOST_REPLY_BYTES = 64 * 1024


class Webhooks:
    """Posts messages. Each is a connection of its own."""

    def __init__(self, secret: bytes, *, allow_private: bool) -> None:
        self._secret = secret
        self._allow_private = allow_private
        self._tls = ssl.create_default_context()

    def post(self, url: str, *, message_id: str, body: bytes, sent_s: int) -> None:
        """Have a message taken: replied to with 2xx.

        Raises:
            AddressNotAllowed, NotDelivered
        """
        parts = urlsplit(url)
        where = f"{parts.scheme}://{parts.netloc}"
        headers = {
            "Host": parts.netloc,
            "Content-Type": "application/json",
            "User-Agent": "longwatch",
            "webhook-id": message_id,
            "webhook-timestamp": str(sent_s),
            "webhook-signature": signature(
                self._secret, message_id=message_id, sent_s=sent_s, body=body
            ),
        }
        target = parts.path or "/"
        if parts.query:
            target += f"?{parts.query}"
        try:
            connection = self._connected(parts.scheme, parts.hostname or "", parts.port)
            try:
                connection.request("POST", target, body, headers)
                reply = connection.getresponse()
                reply.read(MOST_REPLY_BYTES)
            finally:
                connection.close()
        except (OSError, http.client.HTTPException) as error:
            raise NotDelivered(where, reason=str(error) or type(error).__name__) from error
        if not 200 <= reply.status < 300:
            raise NotDelivered(where, reason=f"it replied {reply.status} {reply.reason}")

    def _connected(self, scheme: str, host: str, port: int | None) -> http.client.HTTPConnection:
        """A connection to an address of the host that was checked."""
        port = port or (443 if scheme == "https" else 80)
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
        addresses = [str(address[0]) for *_, address in found]
        for address in addresses:
            if not self._allow_private and not is_public(address):
                raise AddressNotAllowed(host, address)
        connection = http.client.HTTPConnection(host, port, timeout=TIMEOUT_S)
        plain = socket.create_connection((addresses[0], port), timeout=TIMEOUT_S)
        try:
            if scheme == "https":
                plain = self._tls.wrap_socket(plain, server_hostname=host)
        except BaseException:
            plain.close()
            raise
        connection.sock = plain
        return connection


def is_public(address: str) -> bool:
    """Whether an address is one of the public internet, whatever it is wrapped in."""
    parsed = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(parsed, ipaddress.IPv6Address):
        inner = parsed.ipv4_mapped or parsed.sixtofour
        if inner is None and parsed in NAT64:
            inner = ipaddress.IPv4Address(int(parsed) & 0xFFFFFFFF)
        if inner is not None:
            return is_public(str(inner))
    return parsed.is_global and not parsed.is_multicast
