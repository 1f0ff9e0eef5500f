"""The `skald` command: settings, the embedded servers, and the processes that make up the service."""
