"""Shares, and what installers read by them."""
