"""Why a caller is not let in."""

from __future__ import annotations

from lingting.errors import LingtingError, Overloaded


class AccessError(LingtingError):
    """Base of the refusals of this package."""


class InvalidCredential(AccessError):
    """The token or API key lets nobody in.

    Attributes:
        reason: one of "malformed", "unknown", "expired", "revoked", "disabled"; for logs and metrics, not for
        callers.
    """

    def __init__(self, message: str, reason: str = "unknown") -> None:
        super().__init__(message)
        self.reason = reason


class UserToken(AccessError):
    """The bearer is a user's token (`u-…`, `eyJ…`), which this server never issues."""


class UnknownApp(AccessError):
    """No app that may log in has this app_id."""


class WrongSecret(AccessError):
    """The app exists and the secret is not its own."""


class TooManyFailures(AccessError):
    """Logins of this app from this address failed too often.

    Attributes:
        retry_after: seconds after which a wrong one is told so again.
    """

    def __init__(self, retry_after: float) -> None:
        super().__init__(f"too many failed logins; try again in {max(1, round(retry_after))} seconds")
        self.retry_after = retry_after


class MissingScope(AccessError):
    """The credential lacks a scope.

    Attributes:
        scope: the scope that would have let it pass.
    """

    def __init__(self, scope: str) -> None:
        super().__init__(f"the scope {scope} is required; an operator can give it to the app or key")
        self.scope = scope


class ModelForbidden(AccessError):
    """The credential may not use a model.

    Attributes:
        model: the model that was asked for.
    """

    def __init__(self, model: str) -> None:
        super().__init__(f"this credential may not use the model {model!r}")
        self.model = model


class LimitExceeded(AccessError):
    """A limit of the tenant is reached.

    Attributes:
        limit: the limit, in the unit of `what`.
        reset_seconds: seconds after which trying again makes sense.
        what: the limit in words, such as "file requests per second".
    """

    def __init__(self, limit: int, reset_seconds: float, what: str) -> None:
        super().__init__(f"the limit of {limit} {what} is reached")
        self.limit = limit
        self.reset_seconds = reset_seconds
        self.what = what


class AccessUnavailable(Overloaded):
    """The database of credentials cannot be reached just now."""


class ManagementError(AccessError):
    """A management command cannot be carried out; the message says what to do instead."""


class DatabaseError(AccessError):
    """The database cannot be opened or brought up to date; the message says what to do."""
