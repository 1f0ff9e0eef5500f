"""`skald import-from`: skills and prompts that are elsewhere, with their versions, into a project of a service."""
