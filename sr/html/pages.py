"""Render the templates of sr/html/templates as pages that need no other file; all values are escaped."""

from pathlib import Path
from typing import Any

import jinja2

from sr.html import formatting

TEMPLATES = Path(__file__).parent / "templates"


def render_template(template: str, **values: Any) -> bytes:
    """Render a template as an HTML page.

    Args:
        template: a file name in TEMPLATES.
        values: the template's variables; an undefined one is an error. The template calls the functions of
            sr.html.formatting as `fmt`.

    Returns:
        The page, as UTF-8.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["fmt"] = formatting
    return environment.get_template(template).render(**values).encode(errors="backslashreplace")
