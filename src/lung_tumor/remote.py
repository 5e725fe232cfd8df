"""Archives and folders behind any URL that fsspec knows: ``s3://``, ``https://``, ``gs://``, ``memory://`` and others.

Credentials come from fsspec's own configuration and from each backend's environment (``AWS_ACCESS_KEY_ID`` …).
"""

from __future__ import annotations

import contextlib
import logging
import re
import ssl
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import fsspec
from fsspec.callbacks import Callback

from lung_tumor.archives import Allowance, member_path
from lung_tumor.errors import SourceError
from lung_tumor.source_options import SourceOptions, public_name

_log = logging.getLogger(__name__)


class _Counting(Callback):
    """Counts what one transfer brings. Backends take a callback's errors seriously: they end the transfer."""

    def __init__(self, allowance: Allowance) -> None:
        super().__init__()
        self._allowance = allowance

    def relative_update(self, inc: int = 1) -> None:
        self._allowance.take_bytes(inc)


class Remote:
    """An address behind fsspec.

    Args:
        uri: any URL of fsspec's; a trailing ``/`` says folder.
        options: timeout, retries, bounds.

    Raises:
        SourceError: the protocol is unknown or its package is not installed.
    """

    def __init__(self, uri: str, options: SourceOptions) -> None:
        self.name = public_name(uri)
        self._options = options
        self._http = uri.startswith(("http://", "https://"))
        self._slash = urlsplit(uri).path.endswith("/")
        with _explained(self.name, options):
            self._fs, self._path = fsspec.url_to_fs(uri, **_backend_options(uri, options))

    def is_folder(self) -> bool:
        """Whether the address is a folder. The web has none: there the trailing ``/`` decides."""
        if self._slash or self._http:
            return self._slash
        with _explained(self.name, self._options):
            return bool(self._retried(lambda: self._fs.info(self._path)["type"] == "directory"))

    def download(self, target: Path) -> Path:
        """Fetch the file to ``target``, whole or not at all.

        Raises:
            SourceError: it cannot be fetched.
        """
        partial = target.with_name(target.name + ".new")
        target.parent.mkdir(parents=True, exist_ok=True)

        def attempt() -> None:
            allowance = Allowance(self.name, self._options, show=True)
            with contextlib.closing(allowance):
                self._fs.get_file(self._path, str(partial), callback=_Counting(allowance))

        try:
            with _explained(self.name, self._options):
                self._retried(attempt)
                partial.replace(target)
        finally:
            partial.unlink(missing_ok=True)
        return target

    def mirror(self, folder: Path) -> None:
        """Copy every file below the address into the new ``folder``; after an error the caller removes it.

        Raises:
            SourceError: it cannot be listed or fetched, or holds too much.
        """
        allowance = Allowance(self.name, self._options, show=True)
        with _explained(self.name, self._options), contextlib.closing(allowance):
            folder.mkdir(parents=True)
            root = self._path.rstrip("/") + "/"
            for path in sorted(self._retried(lambda: self._fs.find(self._path))):
                allowance.take_entry()
                relative = path.removeprefix(root)
                inside = member_path(unquote(relative) if self._http else relative, self.name)
                if inside is None or relative == path:
                    continue
                target = folder / inside
                target.parent.mkdir(parents=True, exist_ok=True)
                self._retried(lambda p=path, t=target: self._fs.get_file(p, str(t), callback=_Counting(allowance)))

    def _retried(self, attempt: Any) -> Any:
        """Call ``attempt`` again after a failure that may pass: anything but a refusal or a bound of ours."""
        remaining = self._options.retries
        while True:
            try:
                return attempt()
            except (SourceError, FileNotFoundError, PermissionError, ImportError):
                raise
            except Exception as error:
                if not remaining or not _may_pass(error):
                    raise
                _log.warning("%s: %s, trying again (%d left)", self.name, type(error).__name__, remaining)
                time.sleep(min(2.0 ** (self._options.retries - remaining), 30.0) / 4)
                remaining -= 1


def _backend_options(uri: str, options: SourceOptions) -> dict[str, Any]:
    """Timeouts in each backend's own words; both backends' defaults are unfit for large archives."""
    protocol = re.split(r"::|://", uri, maxsplit=1)[0]
    if "::" in uri:
        return {}
    if protocol in ("http", "https"):
        import aiohttp

        wait = options.timeout_s
        # aiohttp ends any transfer after five minutes in all unless `total` is lifted.
        timeout = aiohttp.ClientTimeout(total=None, sock_connect=wait, sock_read=wait)
        # Its own context is made when it is imported, and would miss an SSL_CERT_FILE set since.
        return {
            "client_kwargs": {"timeout": timeout, "trust_env": True},
            "ssl": ssl.create_default_context(),
            "skip_instance_cache": True,
        }
    if protocol in ("s3", "s3a"):
        wait = options.timeout_s
        config = {"connect_timeout": wait, "read_timeout": wait, "retries": {"max_attempts": 1}}
        return {"config_kwargs": config, "skip_instance_cache": True}
    return {}


def _may_pass(error: BaseException) -> bool:
    status = getattr(error, "status", None)
    return not isinstance(status, int) or status >= 500 or status in (408, 429)


@contextlib.contextmanager
def _explained(name: str, options: SourceOptions) -> Iterator[None]:
    """Turn what the backends raise into one :class:`SourceError` without the addresses and keys they print."""
    try:
        yield
    except SourceError:
        raise
    except ImportError as error:
        raise SourceError(f"{name} needs a package that is not installed: {_scrubbed(error)}") from None
    except Exception as error:  # noqa: BLE001 - backends raise what their own libraries raise, dozens of kinds.
        raise SourceError(f"{name} {_reason(error, options)}") from None


def _scrubbed(error: BaseException) -> str:
    return re.sub(r"[a-z0-9+]+://\S+", "…", str(error))[:200]


def _reason(error: BaseException, options: SourceOptions) -> str:
    kinds = {kind.__name__ for kind in type(error).__mro__}
    status = getattr(error, "status", None)
    if isinstance(error, FileNotFoundError) or status in (404, 410):
        return "does not exist; check the address"
    if isinstance(error, PermissionError) or status in (401, 403) or "NoCredentialsError" in kinds:
        return "may not be read; give credentials through the environment or fsspec's configuration"
    if isinstance(status, int):
        return f"answered HTTP {status}; try later"
    if isinstance(error, ValueError) and "Protocol not known" in str(error):
        return "has a protocol that fsspec does not know; see https://filesystem-spec.readthedocs.io"
    if kinds & {"ClientSSLError", "ClientConnectorCertificateError", "SSLError"}:
        return "could not be reached: its certificate is not trusted; name its CA in SSL_CERT_FILE"
    if isinstance(error, TimeoutError) or kinds & {"ConnectTimeoutError", "ReadTimeoutError"}:
        return f"was silent for {options.timeout_s:g} s; try later or raise source_options.timeout_s"
    if kinds & {"ClientPayloadError", "IncompleteReadError", "ResponseStreamingError"}:
        return "broke off before its end; run again, or raise source_options.retries"
    if kinds & {"ClientConnectionError", "EndpointConnectionError", "HTTPClientError"}:
        return "could not be reached; check the network and the address"
    if isinstance(error, OSError) and error.errno is not None:
        return f"could not be fetched: {error.strerror or type(error).__name__}"
    return f"could not be fetched ({type(error).__name__}); check the address and the credentials"
