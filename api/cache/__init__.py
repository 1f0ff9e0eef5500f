"""Encoded answers, and the positions that say whether they are still true."""
