"""Pictures of faces → an ordinary cache, in which each picture is a clip of one frame."""
