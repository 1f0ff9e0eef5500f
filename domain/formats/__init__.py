"""Codecs of what comes in and goes out: SKILL.md, archives, git objects. Bytes and values, no I/O."""
