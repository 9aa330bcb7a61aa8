"""Operations on the images that devices may pull."""
