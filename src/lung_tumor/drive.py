"""Files shared on Google Drive, fetched by gdown.

gdown finds its way through Drive's confirmation pages. What it lacks by default is set here: a timeout (its own is
infinite), retries (its own is none), an end to a page that confirms for ever, and errors that say what to do.
"""

from __future__ import annotations

import contextlib
import logging
import re
import threading
from collections.abc import Callable
from pathlib import Path
from urllib.parse import parse_qs, urlsplit

from lung_tumor.archives import Allowance
from lung_tumor.errors import SourceError
from lung_tumor.source_options import SourceOptions

_log = logging.getLogger(__name__)

_HOSTS = ("drive.google.com", "docs.google.com", "drive.usercontent.google.com")
_ID = re.compile(r"[A-Za-z0-9_-]{10,128}")
_BARE_ID = re.compile(r"(?=.*[0-9])(?=.*[A-Z])(?=.*[a-z])[A-Za-z0-9_-]{25,128}")
_FILE_PATH = re.compile(r"/file/(?:u/\d+/)?d/([^/]+)")
_PATIENCE_S = 30.0
_BY_HAND = "or download it in a browser and set source to the file's path"


def is_bare_id(text: str) -> bool:
    """Whether ``text`` has the form of a Drive id: 25 or more of ``A-Z a-z 0-9 _ -``, digits and both cases among them.

    Real ids always mix them; a long folder name that is merely missing seldom does.
    """
    return _BARE_ID.fullmatch(text) is not None


def find_id(uri: str) -> str | None:
    """The id in ``drive:ID`` or in a link to a file on Google Drive; None for any other URI.

    Raises:
        SourceError: a link to a folder or document, or one without an id.
    """
    if uri.lower().startswith("drive:"):
        found = uri[len("drive:") :].strip("/ ")
    else:
        pieces = urlsplit(uri)
        if pieces.scheme not in ("http", "https") or pieces.hostname not in _HOSTS:
            return None
        if "/folders/" in pieces.path or "folderview" in pieces.path.lower():
            raise SourceError(
                "the Google Drive link leads to a folder, which cannot be fetched in one piece; in Drive, download the "
                "folder (it comes as one .zip) and set source to that file, or share an archive of it"
            )
        in_path = _FILE_PATH.match(pieces.path)
        found = in_path.group(1) if in_path else parse_qs(pieces.query).get("id", [""])[0]
    if not _ID.fullmatch(found):
        raise SourceError(
            "the Google Drive link names no file; use https://drive.google.com/file/d/ID/view or drive:ID, "
            "with the ID of a .zip or .tar.gz"
        )
    return found


def fetch(file_id: str, folder: Path, options: SourceOptions) -> Path:
    """Download a shared file to ``folder/archive``.

    A cut connection is taken up again where it broke, within this call and, through the partial file that stays in
    ``folder``, by the next one.

    Args:
        file_id: the id of a file that anyone with the link may read.
        folder: a hidden working folder that belongs to this file alone.
        options: timeout, retries and the largest size.

    Returns:
        The downloaded file.

    Raises:
        SourceError: says what happened and what to do.
    """
    try:
        import gdown
        import requests
    except ImportError:
        raise SourceError("Google Drive needs the package gdown: pip install 'lung-tumor-detection[train]'") from None
    folder.mkdir(parents=True, exist_ok=True)
    _keep_one_partial_file(folder)
    try:
        try:
            return _download(file_id, folder, options)
        except gdown.exceptions.DownloadError as error:
            if "byte range" not in str(error):
                raise
            # The file changed since, or nothing of it was missing: what is there cannot be continued.
            _log.warning("drive:%s cannot be continued, starting over", file_id)
            _drop_partial_files(folder)
            return _download(file_id, folder, options)
    except SourceError:
        _drop_partial_files(folder)
        raise
    except (gdown.exceptions.DownloadError, gdown.exceptions.DownloadCancelled) as error:
        raise SourceError(f"drive:{file_id} {_reason(error, file_id, options)}") from None
    except (requests.RequestException, OSError, AssertionError, KeyError, ValueError) as error:
        raise SourceError(f"drive:{file_id} {_reason(error, file_id, options)}") from None


def _partial_files(folder: Path) -> list[Path]:
    return sorted(folder.glob("archive*.part"))


def _drop_partial_files(folder: Path) -> None:
    for path in _partial_files(folder):
        path.unlink(missing_ok=True)


def _keep_one_partial_file(folder: Path) -> None:
    """Keep the longest: gdown refuses to choose among several partial files."""
    for path in sorted(_partial_files(folder), key=lambda path: path.stat().st_size)[:-1]:
        path.unlink(missing_ok=True)


def _download(file_id: str, folder: Path, options: SourceOptions) -> Path:
    import gdown

    target = folder / "archive"
    cancel = threading.Event()
    # gdown follows confirmation pages without end; cancel unless the file's first bytes come in time.
    patience = threading.Timer((options.timeout_s + _PATIENCE_S) * (options.retries + 2), cancel.set)
    patience.daemon = True
    patience.start()
    allowance = Allowance(f"drive:{file_id}", options, show=True)
    with contextlib.closing(allowance), contextlib.ExitStack() as stack:
        stack.callback(patience.cancel)
        gdown.download(
            id=file_id,
            output=str(target),
            quiet=True,
            resume=True,
            timeout=options.timeout_s,
            retries=options.retries,
            progress=_progress(allowance, patience),
            cancel=cancel,
            # gdown's own default, but read now: it fixes the home folder when it is imported.
            cookies_file="~/.cache/gdown/cookies.txt",
        )
    return target


def _progress(allowance: Allowance, patience: threading.Timer) -> Callable[[int, int | None], None]:
    seen = 0

    def advance(so_far: int, _total: int | None) -> None:
        nonlocal seen
        patience.cancel()
        allowance.take_bytes(so_far - seen)
        seen = so_far

    return advance


def _reason(error: BaseException, file_id: str, options: SourceOptions) -> str:
    """What happened and what to do, without the addresses and tokens that the libraries' own messages carry."""
    import gdown
    import requests

    causes = (error, error.__cause__)

    def caused_by(*kinds: type[BaseException]) -> bool:
        return any(isinstance(cause, kinds) for cause in causes)

    if caused_by(gdown.exceptions.FileURLRetrievalError):
        return _refusal(" ".join(str(error).split()), file_id, options)
    if caused_by(gdown.exceptions.DownloadCancelled):
        return f"sent page after page but never the file; try later, {_BY_HAND}"
    if caused_by(requests.exceptions.SSLError):
        return "could not be reached: its certificate is not trusted; behind a proxy, name its CA in REQUESTS_CA_BUNDLE"
    if caused_by(requests.exceptions.ProxyError):
        return "could not be reached through the proxy; check HTTPS_PROXY"
    if caused_by(requests.exceptions.Timeout) or "timed out" in str(error):
        return f"was silent for {options.timeout_s:g} s; try later, raise source_options.timeout_s, {_BY_HAND}"
    if "incomplete" in str(error) or caused_by(requests.exceptions.ChunkedEncodingError):
        return "broke off before its end; run again to continue where it stopped, or raise source_options.retries"
    if caused_by(requests.exceptions.ConnectionError):
        return f"could not be reached: no connection to Google Drive; check the network, {_BY_HAND}"
    if isinstance(error, requests.exceptions.HTTPError) and error.response is not None:
        return f"answered HTTP {error.response.status_code}; try later, {_BY_HAND}"
    if isinstance(error, OSError) and error.errno is not None:
        return f"could not be written: {error.strerror}; free space in the cache folder"
    return f"answered in a way that gdown does not understand ({type(error).__name__}); try later, {_BY_HAND}"


def _refusal(message: str, file_id: str, options: SourceOptions) -> str:
    """Why Drive showed a page in place of the file; gdown keeps no status, so Drive is asked once more."""
    import requests

    if re.search(r"too many users|quota|24 hours", message, re.IGNORECASE):
        return f"has been downloaded too often of late (Google's quota); wait up to 24 hours, {_BY_HAND}"
    status, host = 0, ""
    with contextlib.suppress(requests.RequestException):
        url = f"https://drive.google.com/uc?id={file_id}"
        with requests.get(url, timeout=options.timeout_s, stream=True) as response:
            status, host = response.status_code, urlsplit(response.url).hostname or ""
    if host.startswith("accounts.") or status in (401, 403):
        return "is private; ask its owner to share it with anyone who has the link, or give an archive of your own"
    if status in (404, 410):
        return "does not exist on Google Drive (404); check the id"
    if status == 429:
        return f"was refused: too many requests from this address; wait an hour, {_BY_HAND}"
    return f"cannot be fetched: Google Drive showed a page instead of the file; open the link in a browser, {_BY_HAND}"
