"""What every page shares: its templates, and pictures written into the page itself."""

from __future__ import annotations

import base64
import io
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from matplotlib.figure import Figure
from PIL import Image

from lung_tumor.imaging import Pixels

THUMBNAIL_SIDE = 128
"""Longest side, in pixels, of a thumbnail."""


def shown_name(text: object) -> str:
    r"""A file or class name fit to be read: line breaks, direction marks and broken code points as ``\``-escapes."""
    return "".join(
        character if character.isprintable() else character.encode("unicode_escape").decode("ascii")
        for character in str(text)
    )


_TEMPLATES = Environment(
    loader=FileSystemLoader(Path(__file__).parent / "templates"),
    autoescape=True,
    undefined=StrictUndefined,
    trim_blocks=True,
    lstrip_blocks=True,
)
_TEMPLATES.filters["shown_name"] = shown_name


def render_page(template: str, **values: Any) -> str:
    """Render a template of the package; a name that the template knows and ``values`` lacks raises."""
    return _TEMPLATES.get_template(template).render(**values)


def figure_uri(figure: Figure) -> str:
    """A figure as a ``data:`` address of a PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=160)
    return _data_uri(buffer, "png")


def slice_uri(pixels: Pixels) -> str:
    """A slice, (height, width) or (height, width, 3) uint8, as a ``data:`` address of a PNG: pixel by pixel what was given."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return _data_uri(buffer, "png")


def photograph_uri(pixels: Pixels) -> str:
    """A picture of any colour, (height, width, 3) uint8, as a ``data:`` address of a JPEG: a fifth of its PNG."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "JPEG", quality=88, optimize=True)
    return _data_uri(buffer, "jpeg")


def thumbnail_uri(pixels: Pixels) -> str:
    """A picture, (height, width) uint8, as a ``data:`` address of a JPEG at most ``THUMBNAIL_SIDE`` wide and high."""
    picture = Image.fromarray(np.ascontiguousarray(pixels))
    picture.thumbnail((THUMBNAIL_SIDE, THUMBNAIL_SIDE), Image.Resampling.LANCZOS)
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=80, optimize=True)
    return _data_uri(buffer, "jpeg")


def _data_uri(content: io.BytesIO, kind: str) -> str:
    return f"data:image/{kind};base64,{base64.b64encode(content.getvalue()).decode()}"
