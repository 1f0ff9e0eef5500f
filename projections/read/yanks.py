"""Yanks at a position of the log."""

# yanks_pkey. Whether a row of ``versions`` is yanked there.
YANKED_AT = """EXISTS (
    SELECT FROM yanks
    WHERE yanks.stream_id = versions.stream_id AND yanks.number = versions.number
      AND yanks.since_position <= {position} AND (yanks.until_position IS NULL OR yanks.until_position > {position}))"""
