"""The attribution methods, one a file."""
