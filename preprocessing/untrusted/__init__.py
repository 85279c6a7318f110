"""What others made, read within bounds: text, tables, pickles, zips, and names made of theirs."""
