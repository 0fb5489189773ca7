"""What is handed to others: wheel, sdist, units, images, completion."""
