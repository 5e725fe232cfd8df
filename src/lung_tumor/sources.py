"""Where slices come from: one URI.

=====================================  ==================================================================
``phantom:``                           the seeded generator; ``phantom:?slices=100&seed=7&mass_mm=20-60``
a path, ``file://…``                   a folder read in place, or an archive, with one folder per class
``drive:ID``, a link, a bare id        an archive shared on Google Drive
``s3://…``, ``https://…`` …            an archive or folder behind any URL of fsspec's (a folder ends in ``/``)
=====================================  ==================================================================

What is drawn, fetched or unpacked is cached; :mod:`lung_tumor.source_cache` says how, and
:mod:`lung_tumor.class_folders` what counts as a class and as a slice.
"""

from __future__ import annotations

import dataclasses
import hashlib
import json
import logging
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import parse_qsl, unquote, urlsplit

from tqdm import tqdm

from lung_tumor import anatomy, drive, phantom
from lung_tumor.archives import check_sha256, is_hidden, sha256_of, unpack
from lung_tumor.class_folders import SliceFile, list_slices
from lung_tumor.errors import SourceError
from lung_tumor.group_file import read_groups
from lung_tumor.imaging import SYNTHETIC_NOTE
from lung_tumor.phantom import PhantomOptions
from lung_tumor.source_cache import SLICES, Entry, Workspace, find, key_of, materialise, read_facts
from lung_tumor.source_options import SourceOptions, printable, public_name

__all__ = ["SliceFile", "SliceSource", "SourceOptions", "is_at_hand", "open_source", "public_name"]

_log = logging.getLogger(__name__)

_MASKS = "masks"


@dataclass(frozen=True)
class SliceSource:
    """The files of one source, none of them decoded yet.

    Attributes:
        name: what reports show: no credentials, no query, no folder of this machine; the phantom's says "synthetic".
        synthetic: whether the slices were made by the phantom.
        root: folder that the files' paths are relative to.
        files: every file that may be a slice, sorted by path.
        groups: group by path, as a ``groups.csv`` beside the class folders says; empty where there is none.
        left_out: number of files of each folder that :func:`lung_tumor.classes.choose_classes` left out.
    """

    name: str
    synthetic: bool
    root: Path
    files: tuple[SliceFile, ...]
    groups: Mapping[str, str] = field(default_factory=dict)
    left_out: Mapping[str, int] = field(default_factory=dict)

    @property
    def classes(self) -> tuple[str, ...]:
        """Labels in alphabetical order."""
        return tuple(sorted({file.label for file in self.files}))

    def mask_of(self, path: str) -> Path | None:
        """File of the mass drawn into a phantom's slice, (height, width) uint8, 0 or 255; None where there is none."""
        mask = self.root.parent / _MASKS / f"{PurePosixPath(path).stem}.png"
        return mask if self.synthetic and mask.is_file() else None


def open_source(
    uri: str, cache: Path, options: SourceOptions, phantom_options: PhantomOptions, base: Path
) -> SliceSource:
    """Find, fetch or draw the slices that ``uri`` names.

    Args:
        uri: see the table of the module.
        cache: folder for what is fetched, unpacked or drawn.
        options: timeouts, retries, digest and bounds.
        phantom_options: what ``phantom:`` draws, unless the URI says otherwise.
        base: project root, the second place where a relative path is looked up.

    Raises:
        SourceError: says what happened and what to do; the cache then holds nothing that looks like a source.
    """
    uri = uri.strip()
    source = _open(uri, cache, options, phantom_options, base)
    _log.info("%s: %d files, classes %s", source.name, len(source.files), ", ".join(source.classes))
    return source


def is_at_hand(uri: str, cache: Path, options: SourceOptions, base: Path) -> bool:
    """Whether the source opens without the network: drawn, local, or fetched before."""
    uri = uri.strip()
    try:
        if uri.lower().startswith("phantom:"):
            return True
        file_id = drive.find_id(uri)
        if file_id is None and "://" in uri and not uri.lower().startswith("file://"):
            return _cached(public_name(uri), uri, cache, options) is not None
        if file_id is None and _local_path(uri, base) is not None:
            return True
        address = f"drive:{file_id or uri}"
        return _cached(address, address, cache, options) is not None
    except SourceError:
        return False


def _open(uri: str, cache: Path, options: SourceOptions, phantom_options: PhantomOptions, base: Path) -> SliceSource:
    if uri.lower().startswith("phantom:"):
        _refuse_digest("phantom:", options)
        return _from_entry(_draw(cache, phantom_from_uri(uri, phantom_options)), options)
    file_id = drive.find_id(uri)
    if file_id is None and "://" in uri and not uri.lower().startswith("file://"):
        return _from_entry(_fetch_remote(uri, cache, options), options)
    path = None if file_id else _local_path(uri, base)
    if path is None and file_id is None and drive.is_bare_id(uri):
        file_id = uri
    if file_id is not None:
        return _from_entry(_fetch_drive(file_id, cache, options), options)
    if path is None:
        raise SourceError(_nowhere(uri, base))
    if path.is_dir():
        path = path.resolve()
        name = f"folder {printable(path.name)}"
        _refuse_digest(name, options)
        return _from_folder(path, name, options)
    if not path.is_file():
        raise SourceError(f"{printable(uri)} is neither a folder nor a file; give a folder or an archive")
    return _from_entry(_unpack_local(path, cache, options), options)


def _refuse_digest(name: str, options: SourceOptions) -> None:
    if options.sha256 is not None:
        raise SourceError(f"source_options.sha256 pins an archive, but {name} is none; leave it out for this source")


# --- What an opened source holds -------------------------------------------------------------------------------------


def _from_entry(entry: Entry, options: SourceOptions) -> SliceSource:
    return _from_folder(entry.slices, str(entry.facts["source"]), options)


def _from_folder(root: Path, name: str, options: SourceOptions) -> SliceSource:
    """A folder's slices. One that the phantom once made, copied or packed by whomever, still says so."""
    made = _phantom_below(root)
    if made is None:
        files = list_slices(root, name, options.max_files)
        return SliceSource(name, False, root, files, read_groups(root, files, name))
    name = f"{name} (synthetic)"
    return SliceSource(name, True, made / SLICES, list_slices(made / SLICES, name, options.max_files))


def _phantom_below(root: Path) -> Path | None:
    """The folder of a phantom's ``source.json`` at ``root``, above its ``slices``, or below single wrapper folders."""
    folder = root
    for _ in range(8):
        if (folder / SLICES).is_dir() and (read_facts(folder) or {}).get("synthetic"):
            return folder
        try:
            inside = [path for path in folder.iterdir() if path.is_dir() and not is_hidden(path.name)]
        except OSError:
            return None
        if len(inside) != 1 or inside[0].is_symlink():
            break
        folder = inside[0]
    made = root.resolve()
    return made.parent if made.name == SLICES and (read_facts(made.parent) or {}).get("synthetic") else None


# --- Local paths -----------------------------------------------------------------------------------------------------


def _places(uri: str, base: Path) -> list[Path]:
    if uri.lower().startswith("file://"):
        return [Path(unquote(urlsplit(uri).path))]
    path = Path(uri).expanduser()
    return list(dict.fromkeys((Path.cwd() / path, base / path)))


def _local_path(uri: str, base: Path) -> Path | None:
    if not uri:
        raise SourceError("source is empty; give phantom:, a folder, an archive, a Google Drive link or a URL")
    try:
        return next((path for path in _places(uri, base) if path.exists()), None)
    except (OSError, ValueError, RuntimeError):
        return None


def _nowhere(uri: str, base: Path) -> str:
    try:
        places = " nor at ".join(printable(str(path)) for path in _places(uri, base))
    except RuntimeError:
        places = "that home folder"
    return (
        f"no source {printable(uri)[:200]!r}: nothing at {places}. Give phantom:, a folder, a .zip or .tar.gz, "
        "a Google Drive link or id, or a URL such as s3://bucket/slices.zip"
    )


def _unpack_local(path: Path, cache: Path, options: SourceOptions) -> Entry:
    name = f"archive {printable(path.name)}"
    try:
        digest = sha256_of(path)
    except OSError as error:
        raise SourceError(f"{name} cannot be read: {error.strerror}") from None
    check_sha256(name, digest, options)

    def build(workspace: Workspace) -> dict[str, Any]:
        return _unpacked(path, name, digest, workspace, options)

    return materialise(cache, key_of(path.name, digest), build)


def _unpacked(archive: Path, name: str, digest: str, workspace: Workspace, options: SourceOptions) -> dict[str, Any]:
    slices = workspace.entry / SLICES
    unpack(archive, slices, name, options)
    # An archive without classes must not become an entry.
    synthetic = _from_folder(slices, name, options).synthetic
    return {"source": name, "synthetic": synthetic, "archive_sha256": digest}


# --- Remote addresses ------------------------------------------------------------------------------------------------


def _fetch_drive(file_id: str, cache: Path, options: SourceOptions) -> Entry:
    def fetch(folder: Path) -> Path:
        return drive.fetch(file_id, folder, options)

    return _fetched(f"drive:{file_id}", f"drive:{file_id}", cache, options, fetch)


def _fetch_remote(uri: str, cache: Path, options: SourceOptions) -> Entry:
    name = public_name(uri)
    if (entry := _cached(name, uri, cache, options)) is not None:
        return entry
    from lung_tumor.remote import Remote

    remote = Remote(uri, options)
    if not remote.is_folder():
        return _fetched(name, uri, cache, options, lambda folder: remote.download(folder / "archive"))
    _refuse_digest(name, options)

    def build(workspace: Workspace) -> dict[str, Any]:
        remote.mirror(workspace.entry / SLICES)
        return {"source": name, "synthetic": _from_folder(workspace.entry / SLICES, name, options).synthetic}

    return materialise(cache, _keys(name, uri, options)[0], build)


def _keys(name: str, uri: str, options: SourceOptions) -> list[str]:
    """Where an archive behind ``uri`` may be cached: pinned by its digest, else by its address alone."""
    key = key_of(name, hashlib.sha256(uri.encode("utf-8", "surrogatepass")).hexdigest())
    return [f"{key}-{options.sha256[:12]}", key] if options.sha256 else [key]


def _cached(name: str, uri: str, cache: Path, options: SourceOptions) -> Entry | None:
    for key in _keys(name, uri, options):
        entry = find(cache, key)
        if entry is not None and options.sha256 in (None, entry.facts.get("archive_sha256")):
            return entry
    return None


def _fetched(name: str, uri: str, cache: Path, options: SourceOptions, fetch: Callable[[Path], Path]) -> Entry:
    """The unpacked archive behind ``uri``; nothing is asked of the network once it is in the cache."""
    if (entry := _cached(name, uri, cache, options)) is not None:
        return entry

    def build(workspace: Workspace) -> dict[str, Any]:
        archive = workspace.download / "archive"
        # Whole, because a download takes this name by a rename: a run died between download and entry.
        if not archive.is_file():
            _log.info("fetching %s", name)
            archive = fetch(workspace.download)
        try:
            digest = sha256_of(archive)
            check_sha256(name, digest, options)
            return _unpacked(archive, name, digest, workspace, options)
        except SourceError:
            archive.unlink(missing_ok=True)
            raise

    return materialise(cache, _keys(name, uri, options)[0], build)


# --- The phantom -----------------------------------------------------------------------------------------------------


def phantom_from_uri(uri: str, defaults: PhantomOptions) -> PhantomOptions:
    """Options of ``phantom:?slices=100&seed=7&mass_mm=20-60``; what the URI leaves out comes from ``defaults``.

    Raises:
        SourceError: an unknown option, or a value that is no number or out of range.
    """
    _, _, query = uri.partition(":")
    known = {field.name: getattr(defaults, field.name) for field in dataclasses.fields(defaults)}
    changes: dict[str, Any] = {}
    try:
        if query and not query.startswith("?"):
            raise ValueError(f"{printable(query)!r} does not start with '?'")
        for key, text in parse_qsl(query[1:], keep_blank_values=True, strict_parsing=len(query) > 1):
            if key not in known:
                raise ValueError(f"unknown option {printable(key)!r}; known are {', '.join(known)}")
            pair = isinstance(known[key], tuple)
            changes[key] = tuple(map(float, text.split("-"))) if pair else type(known[key])(text)
        return dataclasses.replace(defaults, **changes)
    except ValueError as error:
        raise SourceError(f"{error}; write it as phantom:?slices=100&seed=7&mass_mm=20-60") from None


def _draw(cache: Path, options: PhantomOptions) -> Entry:
    """8-bit PNGs, slices under ``slices/<class>`` and masses under ``masks``; drawn once for the same options and code."""
    described = {field.name: getattr(options, field.name) for field in dataclasses.fields(options)}
    name = f"phantom: {options.slices} slices, seed {options.seed}"
    code = hashlib.sha256(
        b"".join(Path(str(module.__file__)).read_bytes() for module in (phantom, anatomy))
    ).hexdigest()
    digest = hashlib.sha256(json.dumps([described, code]).encode()).hexdigest()

    def build(workspace: Workspace) -> dict[str, Any]:
        _log.info("drawing %s", name)
        (workspace.entry / _MASKS).mkdir()
        for label in phantom.CLASSES:
            (workspace.entry / SLICES / label).mkdir(parents=True)

        def write(index: int) -> None:
            _write_slice(index, options, workspace.entry)

        with ThreadPoolExecutor(2) as pool:
            drawn = pool.map(write, range(options.slices))
            for _ in tqdm(drawn, desc="synthetic slices", total=options.slices, disable=None):
                pass
        return {"source": name, "synthetic": True, "phantom": described}

    return materialise(cache, key_of(f"phantom-{options.slices}", digest), build)


def _write_slice(index: int, options: PhantomOptions, folder: Path) -> None:
    from PIL import Image, PngImagePlugin

    drawn = phantom.draw_slice(index, options)
    stem = PurePosixPath(phantom.slice_name(index, options)).stem
    note = PngImagePlugin.PngInfo()
    note.add_text("Description", SYNTHETIC_NOTE)
    path = folder / SLICES / drawn.label / f"{stem}.png"
    Image.fromarray(drawn.pixels).save(path, "PNG", compress_level=1, pnginfo=note)
    if drawn.mask.any():
        mask = Image.fromarray(drawn.mask.astype("uint8") * 255)
        mask.save(folder / _MASKS / path.name, "PNG", compress_level=1, pnginfo=note)
