"""What every part shares: records, the verdict, settings, the run folder, errors. No torch."""
