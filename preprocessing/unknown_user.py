"""A user id that has no name: containers run as one (`docker run --user 12345`, OpenShift).

`getpass.getuser()` and `~` raise there, in libraries that ask for them while they are imported (torch,
matplotlib). They look into the environment first, so that is where the answers go.
"""

import os
import tempfile
from pathlib import Path

try:
    import pwd
except ImportError:  # Windows, where every user has a name
    pwd = None


def name_unknown_user() -> None:
    """For a user id without an entry set `USER`, and `HOME` where there is none to write into."""
    if pwd is None:
        return
    try:
        pwd.getpwuid(os.getuid())
    except KeyError:
        os.environ.setdefault("USER", f"uid{os.getuid()}")
        home = os.environ.get("HOME", "")
        if not home or not Path(home).is_dir() or not os.access(home, os.W_OK):
            os.environ["HOME"] = str(_make_home())


def _make_home() -> Path:
    """A folder below the temporary ones that belongs to this user alone, the same for all processes."""
    home = Path(tempfile.gettempdir()) / f"mosi_e2e-{os.getuid()}"
    home.mkdir(mode=0o700, exist_ok=True)
    if home.is_symlink() or home.stat().st_uid != os.getuid():  # somebody else took the name
        return Path(tempfile.mkdtemp(prefix="mosi_e2e-"))
    return home
