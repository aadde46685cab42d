"""Answer HTTP requests: the API, the page for people, figures, the description of the API."""
