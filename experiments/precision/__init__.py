"""What a number's width and a batch's company do to a model's choices."""
