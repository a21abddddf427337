"""What a run of the command line does with images and with text."""
