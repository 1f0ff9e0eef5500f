"""One module a view: its handlers, and what its template shows."""
