"""Every formula: numbers and NumPy in, numbers out. No torch."""
