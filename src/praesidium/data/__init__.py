"""Real prices, labels, splits and the data sets made of them."""
