"""Generative adversarial networks: planned, trained and audited for what they miss."""
