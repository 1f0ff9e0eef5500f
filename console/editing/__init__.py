"""Drafts: what is written in the console before it is published."""
