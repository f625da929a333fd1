"""The scripts that docs/deployment.md shows, for tests that run them as they stand there."""

import re
from pathlib import Path

DOCUMENT = Path(__file__).parents[2] / "docs" / "deployment.md"


def script(runtime: str) -> str:
    """Return the script for onnxruntime or openvino: MODEL low.png high.png are its arguments."""
    return re.search(rf"```python {runtime}\n(.*?)```", DOCUMENT.read_text(), re.DOTALL).group(1)
