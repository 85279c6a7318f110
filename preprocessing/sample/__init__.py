"""A small MOSI-shaped set of talking-portrait clips, made on the spot: input for the demo and the tests.

Everything in it is synthetic. `plan` decides what each clip says, `performance` turns that into
movements and sounds over time, `scene`, `face` and `voice` make pictures and sound of it, `render`
writes the mp4, and `layouts` puts files and labels where the three known layouts of MOSI have them.
"""
