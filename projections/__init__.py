"""Read models: for each, a pure fold of events into rows, the set-based SQL that writes them, and the queries beside it."""
