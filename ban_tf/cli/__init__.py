"""The commands of `ban-tf`; each is a thin layer over the library."""
