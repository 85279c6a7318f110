"""`python -m mosi_e2e.doctor`: what is found, what is missing, what to type.

Nothing here imports a third-party package: whatever is broken, the doctor must be able to say so. Packages
are imported by child processes (`probe.py`), which may die.
"""
