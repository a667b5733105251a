"""Sources of samples: embedded ones first, then readers of files. NumPy out, no torch."""
