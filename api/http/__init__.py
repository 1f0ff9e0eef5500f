"""HTTP in general: requests, answers, errors, queries, payloads, pages."""
