"""Cases that run here and on dictrack 2.1.5, and a model that predicts where the two may differ."""
