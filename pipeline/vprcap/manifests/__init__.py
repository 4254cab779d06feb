"""What the images of a set are: recipes, layouts and tables in; manifests and plans out."""
