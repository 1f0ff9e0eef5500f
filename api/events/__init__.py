"""The feed and the audit."""
