"""What runs inside a generation, where ocrpack is not installed: gunicorn's configuration and the gate."""
