"""From a request to its reading: documents, pages, jobs.

Every page is a task: a document of 500 pages is 500 tasks, so others get their turn between them, and where nobody
else is there all engines work on it. Requests whose sender waits go before jobs.

A job belongs to whoever renews its lease. Jobs lie in SQLite in the deployment's `data/`, with their pages so far. A
generation takes jobs only while its gate is open and lets go of them when it closes, so that the next version goes on
with the very page; one that was killed loses its lease.
"""
