"""Read the scripts in docs/how-to/deploy.md, for tests that run them."""

import re
from pathlib import Path

DOCUMENT = Path(__file__).parents[2] / "docs" / "how-to" / "deploy.md"


def script(runtime: str) -> str:
    """Return the script for onnxruntime or openvino. Its arguments are MODEL, an LR image and the output file."""
    return re.search(rf"```python {runtime}\n(.*?)```", DOCUMENT.read_text(), re.DOTALL).group(1)
