"""Born-Again Networks for Keras (Furlanello et al., 2018)."""
