"""What can be refused, and why.

Every refusal carries what a caller needs to correct itself: a stable ``code``, a sentence (``detail``), the field to
blame (``attr``, nested with ``__``) and extra keys. The API maps each class to one HTTP status; the domain knows none.
"""

from collections.abc import Sequence
from typing import Any, Self


class Refused(Exception):
    """A command or query that the rules do not allow. Nothing has been written."""

    code = "invalid_input"

    def __init__(
        self, detail: str, *, code: str | None = None, attr: str | None = None, **extra: Any
    ) -> None:
        super().__init__(detail)
        self.detail = detail
        self.code = code or type(self).code
        self.attr = attr
        self.extra = extra

    def within(self, *path: str | int) -> Self:
        """The same refusal seen from outside: ``path`` is put before the field it blames."""
        parts = [str(part) for part in path] + ([self.attr] if self.attr else [])
        self.attr = "__".join(parts) or None
        return self


class Invalid(Refused):
    """A value breaks a rule: wrong type, blank, too long, malformed."""


class TooBig(Invalid):
    """A content exceeds its limit in bytes."""

    code = "max_size"


class NameTaken(Invalid):
    """An active skill or prompt of the project holds the name."""

    code = "unique"

    def __init__(self, kind: str, name: str, *, attr: str = "name") -> None:
        super().__init__(f"A {kind} named '{name}' already exists in this project.", attr=attr)


class EditFailed(Invalid):
    """An edit whose ``old`` text is absent or ambiguous."""


class NotFound(Refused):
    """No active skill, prompt, file or version under that address."""

    code = "not_found"

    def __init__(self, detail: str, *, suggestions: Sequence[str] | None = None) -> None:
        super().__init__(detail)
        if suggestions is not None:
            self.extra = {"suggestions": list(suggestions)}


class NameChanged(NotFound):
    """What had the name has another one now: ``new_name``."""

    def __init__(self, kind: str, name: str, new_name: str) -> None:
        super().__init__(f"The {kind} '{name}' is named '{new_name}' now.", suggestions=[new_name])
        self.new_name = new_name
        self.extra["renamed_to"] = new_name


class VersionNotFound(NotFound):
    """The name is known, the version is not."""

    code = "version_not_found"

    def __init__(self, kind: str, name: str, version: object, available: Sequence[int]) -> None:
        super().__init__(f"The {kind} '{name}' has no version {version}.")
        self.extra = {"available_versions": list(available)}


class Yanked(NotFound):
    """The label points to a version that should not be used any more."""

    code = "yanked"

    def __init__(self, kind: str, name: str, label: str, version: int, **extra: Any) -> None:
        super().__init__(
            f"The label '{label}' of the {kind} '{name}' points to version {version}, which is yanked: move the label to "
            f"another version. Read version {version} by its number to see why.",
        )
        self.extra = {"version": version, **extra}


class Conflict(Refused):
    """The state has moved on, or the target is occupied."""


class LogWentBack(Conflict):
    """A reader's position is beyond the log, or of a part of it that was lost. ``position``: where to go on."""

    code = "log_went_back"

    def __init__(self, after: int, position: int, *, attr: str = "after") -> None:
        super().__init__(
            f"The log went back to position {position}, and {after} is not in it: forget what you have from positions above "
            f"{position}, and go on after {position}.",
            attr=attr,
            position=position,
        )


class VersionConflict(Conflict):
    """``base_version`` is not the latest version."""

    code = "version_conflict"

    def __init__(self, base_version: int, current_version: int) -> None:
        super().__init__(
            f"base_version {base_version} is not the latest version; the latest is {current_version}. "
            "Fetch it, apply your change to it and send its number.",
            attr="base_version",
            current_version=current_version,
        )


class FileExists(Conflict):
    """A file already stands at the target path."""

    code = "file_exists"


class PreconditionFailed(Refused):
    """``If-Match`` names another representation than the current one."""

    code = "precondition_failed"


class NotAuthenticated(Refused):
    """No credential, or a wrong, expired or revoked one."""

    code = "authentication_failed"


class PermissionDenied(Refused):
    """The key lacks a scope or may not enter the project."""

    code = "permission_denied"


class Throttled(Refused):
    """The key has used up its budget; ``retry_after`` is in whole seconds."""

    code = "throttled"

    def __init__(self, detail: str, *, retry_after: int) -> None:
        super().__init__(detail)
        self.retry_after = retry_after


class Unavailable(Refused):
    """The service cannot take the request now; ``retry_after`` is in whole seconds."""

    code = "unavailable"

    def __init__(self, detail: str, *, retry_after: int = 1) -> None:
        super().__init__(detail)
        self.retry_after = retry_after
