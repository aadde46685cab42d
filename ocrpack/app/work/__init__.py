"""From a request to its reading: documents, pages, jobs."""
