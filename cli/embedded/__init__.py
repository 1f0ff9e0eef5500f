"""The embedded PostgreSQL and Valkey of a data folder."""
