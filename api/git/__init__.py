"""Skills by git over smart HTTP."""
