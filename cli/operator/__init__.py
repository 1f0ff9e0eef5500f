"""Commands of operators, on the database itself."""
