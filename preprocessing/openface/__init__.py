"""OpenFace as another source of behaviour tokens: its columns, its tables, the program."""
