"""Whether an app reads right."""
