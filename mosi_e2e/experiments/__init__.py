"""Many runs that belong together: which, how they are run, and their table."""
