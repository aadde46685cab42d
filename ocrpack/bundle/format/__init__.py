"""What a bundle is: manifest, archive, signature."""
