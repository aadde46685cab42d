"""Serve this bundle: `python app.py`, or any WSGI server on `app:app`."""

from pathlib import Path

from ocrpack.app import create_app, serve

app = create_app(Path(__file__).parent)

if __name__ == "__main__":
    serve(app)
