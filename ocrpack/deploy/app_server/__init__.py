"""What runs inside a generation, where ocrpack is not installed: gunicorn's configuration and the gate.

gunicorn gets a private Unix socket and the public one. The workers start with the private one, join the public one
when the file `gate-open` appears, and leave it when the file goes, each telling so with a file of its own. gunicorn
is given `gunicorn_config.py` by its path.
"""
