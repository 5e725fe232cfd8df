"""How hard to try for a source, how much to take of it, and what may be shown of its address."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from urllib.parse import urlsplit, urlunsplit


@dataclass(frozen=True)
class SourceOptions:
    """``source_options`` of ``globals.yml``: the bounds within which a source is fetched and unpacked.

    Attributes:
        timeout_s: seconds to wait for a silent server before giving up an attempt, above 0.
        retries: further attempts after a connection that failed or was cut, 0 or more.
        sha256: expected SHA-256 of the archive, 64 hexadecimal digits; None accepts any.
        max_unpacked_bytes: largest size of all unpacked files together, bytes.
        max_files: largest number of entries, folders included.
    """

    timeout_s: float = 60.0
    retries: int = 3
    sha256: str | None = None
    max_unpacked_bytes: int = 8 * 2**30
    max_files: int = 200_000

    def __post_init__(self) -> None:
        timeout_s = self.timeout_s
        if not _is_number(timeout_s, int, float) or not 0 < timeout_s < math.inf:
            raise ValueError(f"source_options.timeout_s must be a number of seconds above 0, received {timeout_s!r}")
        for name, least, most in (("retries", 0, 100), ("max_unpacked_bytes", 1, 2**63), ("max_files", 1, 2**63)):
            value = getattr(self, name)
            if not _is_number(value, int) or not least <= value <= most:
                raise ValueError(f"source_options.{name} must be a whole number from {least}, received {value!r}")
        if self.sha256 is None:
            return
        # `--params` reads an all-digit digest as a number and may drop leading zeros: only text is trusted.
        if not isinstance(self.sha256, str) or not re.fullmatch(r"[0-9A-Fa-f]{64}", self.sha256.strip()):
            raise ValueError(f"source_options.sha256 must be 64 hexadecimal digits in quotes, received {self.sha256!r}")
        object.__setattr__(self, "sha256", self.sha256.strip().lower())


def _is_number(value: object, *kinds: type) -> bool:
    return isinstance(value, kinds) and not isinstance(value, bool)


def printable(text: str) -> str:
    r"""Text that can be logged, stored as UTF-8 and told apart: what is not printable becomes a ``\``-escape.

    The mapping is one-to-one: two file names never become the same text, a backslash is doubled.
    """
    return "".join(
        character
        if character.isprintable() and character != "\\"
        else character.encode("unicode_escape").decode("ascii")
        for character in text
    )


def public_name(uri: str) -> str:
    """A URI without user, password, query and fragment, any of which may carry a credential."""
    return "::".join(_public_part(part) for part in printable(uri).split("::"))


def _public_part(part: str) -> str:
    try:
        pieces = urlsplit(part)
    except ValueError:
        return part.split("://", 1)[0] + "://…"
    # A path of this machine is nobody else's business; the file's own name says enough.
    last = pieces.path.rstrip("/").rpartition("/")[2]
    if pieces.scheme in ("file", "local"):
        return f"{pieces.scheme}://…/{last}"
    if not pieces.scheme and "/" in pieces.path:
        return f"…/{last}"
    host = pieces.netloc.rpartition("@")[2]
    return urlunsplit((pieces.scheme, host, pieces.path, "", ""))
