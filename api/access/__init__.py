"""Who a request speaks for, what it may do, and how often."""
