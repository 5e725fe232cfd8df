"""Which folders mean which class: public archives name one class in several ways, and hold classes nobody asked for."""

from __future__ import annotations

import dataclasses
import logging
import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import translate

from lung_tumor.errors import SourceError
from lung_tumor.source_options import printable
from lung_tumor.sources import SliceSource

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ClassOptions:
    """``params:data_ingestion.classes``.

    Attributes:
        folders: class by folder name; the name may hold ``*``, ``?`` and ``[…]`` and is read without regard to case. The
            first that fits counts. None leaves the folder out. A folder that none fits keeps its name.
    """

    folders: Mapping[str, str | None] = field(default_factory=dict)

    def __post_init__(self) -> None:
        # An empty YAML mapping arrives as None.
        object.__setattr__(self, "folders", self.folders or {})
        if not isinstance(self.folders, Mapping):
            raise ValueError(f"classes.folders must map folder names to classes, received {self.folders!r}")
        for pattern, label in self.folders.items():
            if not isinstance(pattern, str) or not (label is None or (isinstance(label, str) and label.strip())):
                raise ValueError(
                    f"classes.folders must map folder names to a class, or to null to leave it out, "
                    f"received {pattern!r}: {label!r}"
                )


def choose_classes(source: SliceSource, options: ClassOptions) -> SliceSource:
    """The same source with the classes that were asked for.

    Returns:
        A source whose files carry the class instead of the folder's name; ``left_out`` counts the files of folders left out.

    Raises:
        SourceError: fewer than two classes are left.
    """
    patterns = [(re.compile(translate(name), re.IGNORECASE), label) for name, label in options.folders.items()]

    def label_of(folder: str) -> str | None:
        found = next((label for pattern, label in patterns if pattern.match(folder)), folder)
        return None if found is None else printable(found.strip())

    chosen = {folder: label_of(folder) for folder in source.classes}
    for pattern, (compiled, _) in zip(options.folders, patterns, strict=True):
        if not any(compiled.match(folder) for folder in chosen):
            _log.warning("classes.folders: no folder of %s fits %r", source.name, pattern)
    kept = [(file, label) for file in source.files if (label := chosen[file.label]) is not None]
    if len({label for _, label in kept}) < 2:
        raise SourceError(
            f"data_ingestion.classes.folders leaves fewer than two classes of {source.name}: its folders "
            f"{', '.join(source.classes)} become {', '.join(sorted({label for _, label in kept})) or 'none'}"
        )
    left_out = Counter(file.label for file in source.files if chosen[file.label] is None)
    files = tuple(dataclasses.replace(file, label=label) for file, label in kept)
    return dataclasses.replace(source, files=files, left_out=dict(sorted(left_out.items())))
