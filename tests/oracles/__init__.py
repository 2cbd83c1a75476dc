"""Independent implementations that tests compare with; they need torch."""
