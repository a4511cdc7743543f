"""Training the video autoencoder: what is compressed, how that is learned, and how well it is kept."""
