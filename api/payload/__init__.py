"""Bodies of requests: read, unpacked, decoded, checked."""
