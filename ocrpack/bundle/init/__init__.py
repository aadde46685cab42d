"""Begin a bundle source, be it from an app that is there."""
