"""The log as its readers see it: feed, history, audit, CloudEvents."""
