"""The API that the command line of ClawHub asks for, at the origin."""
