"""Where a deployed version is written down besides the journal."""
