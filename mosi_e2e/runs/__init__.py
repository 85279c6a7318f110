"""What is done with the folder of a run: `training` fills it, `evaluation` scores it."""
