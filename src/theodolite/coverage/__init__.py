"""What of the real data can a generator not make? For samples of any generator."""
