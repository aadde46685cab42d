"""The packager's wing: a source folder becomes a bundle, and a bundle is opened safely.

Its folders, each of which imports those before it: `format` (what a bundle is), `fetching` (files from elsewhere),
`packages` (the lock and the wheels), `contents` (what else is inside) and `init`. `build.py` puts it all together.

What others may import stands in `__init__.pyi`, and is imported when it is first asked for.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
