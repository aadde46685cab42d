"""Send images to a running OCR service, and write or score what it reads.

Reading order: `inputs.py` (find the files), `patience.py` and `connection.py` (send HTTP requests, repeat those that
may succeed later), `ocr_api.py` (speak the service's API), `results.py` (name and write the files of results),
`parallel.py`, `pictures.py` (draw boxes on pages), and `reading.py`, which puts these together; then `score.py`,
`evaluate.py` and `report.py` (compare with the true text).

What others may import stands in `__init__.pyi`, and is imported when it is first asked for.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
