"""The short way of the hottest requests, past the framework."""
