"""What stages begin with: images, the network, its space, everything that scores a candidate."""
