"""The registry API of APM, below a share."""
