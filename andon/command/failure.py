"""The one error of the command's own: what it was asked to do did not work, and the message is the line to print."""

from andon.errors import AndonError


class CommandFailed(AndonError):  # noqa: N818 - the condition is the name
    """Printed as one line; the exit code is 1."""
