"""Records to one offline HTML page."""
