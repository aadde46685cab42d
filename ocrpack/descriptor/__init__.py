"""What the packager declares: `descriptor.json`, read into frozen types or refused with every finding at once.

Reading order: the folder `format` (the types), `parse.py` (what `build` wrote), `source.py` (places in the file),
`findings.py` (a validator's words for people), `load.py` (the way through), `check.py` and `folder.py` (what no schema
states), with `files.py`, `requirements.py` and `imports.py` for the source folder.

What others may import stands in `__init__.pyi`; a name's module is imported when the name is first asked for, so that
a command pays for what it uses.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
