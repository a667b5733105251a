"""Theory beside practice for deep models."""
