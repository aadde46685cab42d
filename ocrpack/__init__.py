"""Turn an OCR application into one versioned bundle, and a bundle into a running, proven service.

Reading order, which is the data's way through the house:

1. `ocrpack.descriptor`: what the packager declares
2. `ocrpack.bundle`: a source folder becomes a ZIP, and a ZIP is opened safely
3. `ocrpack.deploy`: a ZIP becomes a service; start with `operations/deploy.py`
4. `ocrpack.app`: the Flask app that ships inside bundles
5. `ocrpack.cli`: the commands

This file ships inside bundles too, so it imports nothing.
"""

__version__ = "0.1.0"
