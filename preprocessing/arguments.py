"""The parser of every command. CMU-MOSI has clips called `-3g5yACwYnA_1.mp4`, which look like options."""

import argparse
import os
import sys
from collections.abc import Sequence
from typing import NoReturn


class Parser(argparse.ArgumentParser):
    """An `ArgumentParser` for which an argument that begins with `-` and exists as a file is that file."""

    def parse_known_args(self, args: Sequence[str] | None = None, namespace=None):
        """As in the base class, through which all ways to parse go."""
        args = [self._name_file(arg) for arg in (sys.argv[1:] if args is None else args)]
        return super().parse_known_args(args, namespace)

    def error(self, message: str) -> NoReturn:
        """As in the base class; says how to type a file of that kind that does not exist here."""
        dashed = [word for word in message.split() if word.startswith("-") and "." in word]
        if message.startswith("unrecognized arguments") and dashed:
            message += f" (type a file whose name begins with '-' as ./{dashed[0]})"
        super().error(message)

    def _name_file(self, arg: str) -> str:
        options = self._option_string_actions
        if not arg.startswith("-") or arg in ("-", "--") or arg.split("=")[0] in options:
            return arg
        return f".{os.sep}{arg}" if os.path.lexists(arg) else arg
