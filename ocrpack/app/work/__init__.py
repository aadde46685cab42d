"""Read the documents of a request page by page, at once or as a job that outlives the request."""
