"""A program that needs everything a runfiles tree may hold; only its image is looked at."""
