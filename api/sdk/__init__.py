"""``/v1/skills`` as the SDKs of Anthropic and OpenAI call it: other shapes of the commands and reads that are there."""
