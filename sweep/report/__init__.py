"""How a run is told: the summary, its words, its pages."""
