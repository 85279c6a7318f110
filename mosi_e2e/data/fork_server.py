"""Imported by the fork server of the loading processes, and by nothing else.

SIGTERM to the whole process group must not end it: its children, the loading processes, would follow, and the
training could not finish the update whose state it stores. It ends when the training does.
"""

import signal

signal.signal(signal.SIGTERM, signal.SIG_IGN)
