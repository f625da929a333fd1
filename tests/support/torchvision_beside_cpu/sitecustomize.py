"""Let programs import torchvision where its operators can't be loaded; Python runs this module before them.

See `torchvision_operators`, which does the same within a process. Put this folder and the one above on PYTHONPATH.
"""

import importlib.abc
import sys


class _DefineOperators(importlib.abc.MetaPathFinder):
    """Defines the schemas of torchvision's operators when torchvision is about to be imported."""

    def find_spec(self, fullname, path, target=None):
        """Find nothing: only notice the name."""
        if fullname == "torchvision":
            sys.meta_path.remove(self)
            from torchvision_operators import import_torchvision

            import_torchvision()


sys.meta_path.insert(0, _DefineOperators())
