"""Render templates as pages that need no other file; all values are escaped."""

import base64
from pathlib import Path
from typing import Any

import jinja2

from data.html import formatting

_SHARED = Path(__file__).parent / "templates"
"""The style sheet and the macros that templates of any folder include."""


def render_template(template: Path, **values: Any) -> bytes:
    """Render a template as an HTML page.

    Args:
        template: includes others of its folder, and those of data/html/templates.
        values: the template's variables; an undefined one is an error. The template calls the functions of
            data.html.formatting as `fmt`.

    Returns:
        The page, as UTF-8.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([template.parent, _SHARED]),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["fmt"] = formatting
    return environment.get_template(template.name).render(**values).encode(errors="backslashreplace")


def data_uri(content: bytes, image_format: str) -> str:
    """Return an encoded image as a data: URI.

    Args:
        content: the bytes of an image file.
        image_format: "png" or "jpeg".
    """
    return f"data:image/{image_format};base64,{base64.b64encode(content).decode('ascii')}"
