"""Commands of people, over HTTP."""
