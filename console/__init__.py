"""The console: the registry in a browser, rendered on the server from the services that controllers use."""
