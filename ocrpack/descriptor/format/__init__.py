"""What a descriptor is: the kinds of its values (`values.py`), its types (`model.py`), and their JSON Schema."""
