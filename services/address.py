"""Addresses to listen at, as settings name them. Pure."""

LAST_PORT = 65_535


def address_of(text: str) -> tuple[str, int]:
    """HOST:PORT as its two parts; an empty host is every address of the machine.

    Raises:
        ValueError
    """
    host, colon, port = text.rpartition(":")
    if not colon or not port.isascii() or not port.isdigit() or int(port) > LAST_PORT:
        raise ValueError("it must be HOST:PORT, such as 127.0.0.1:9100")
    return host.removeprefix("[").removesuffix("]"), int(port)
