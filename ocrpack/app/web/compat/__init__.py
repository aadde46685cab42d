"""The APIs of other OCR services, so that their clients work with this one."""
