"""Why a command cannot do its work, in words for the person at the terminal."""

from typing import Any


class Failure(Exception):
    """One clear sentence that says what is wrong and what would help; ``exit_code`` 2 means a wrong call.

    ``extra`` goes into the error object of ``--json``.
    """

    code = "failed"
    exit_code = 1

    def __init__(
        self,
        message: str,
        *,
        code: str | None = None,
        attr: str | None = None,
        extra: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(message)
        self.code = code or type(self).code
        self.attr = attr
        self.extra = extra or {}
