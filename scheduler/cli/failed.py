"""How a command gives up."""


class Failed(Exception):
    """It cannot go on. The message is one sentence that names the option or the file."""

    def __init__(self, message: str, exit_code: int = 2) -> None:
        super().__init__(message)
        self.exit_code = exit_code
