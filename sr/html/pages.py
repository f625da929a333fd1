"""Pages that stand alone: the templates of sr/templates, filled in with everything from outside escaped."""

from pathlib import Path
from typing import Any

import jinja2

from sr.html import formatting

TEMPLATES = Path(__file__).parent / "templates"


def fill(template: str, **values: Any) -> bytes:
    """Return the page of a template, as UTF-8.

    Args:
        template: a file of sr/templates.
        values: what it names; a name that it does not find is an error. `words` is sr.html.formatting.
    """
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.globals["words"] = formatting
    return environment.get_template(template).render(**values).encode(errors="backslashreplace")
