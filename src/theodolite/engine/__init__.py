"""One training loop for all families, on lightning-fabric."""
