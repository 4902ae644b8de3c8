"""The Python worker: loads a service file and answers calls, as ../PROTOCOL.md describes.

It needs the standard library alone. Where pandas is installed, tables are data frames; where numpy is, tensors are
arrays. Neither is imported where no endpoint has use for it.
"""

import os
import sys
import types

# The worker's modules are a package that no search path leads to, so that the service's own imports never meet them.
package = types.ModuleType("mlpack_worker")
package.__path__ = [os.path.dirname(os.path.abspath(__file__))]
sys.modules[package.__name__] = package

if __name__ == "__main__":
    from mlpack_worker.serving import main

    main()
