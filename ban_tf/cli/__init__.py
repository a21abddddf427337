"""The commands beside training: each is a thin layer over the library."""
