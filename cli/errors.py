"""Why a command cannot do its work, in words for the person at the terminal."""


class Failure(Exception):
    """One clear sentence that says what is wrong and what would help; ``exit_code`` 2 means a wrong call."""

    code = "failed"
    attr: str | None = None
    exit_code = 1
