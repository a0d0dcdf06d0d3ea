"""Who a caller is and what they may do."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields

from lingting.access.errors import ManagementError, MissingScope, ModelForbidden
from lingting.domain import Account

SPEECH = "speech_to_text:speech"
FLASH = "audio:flash"
TRANSCRIPTIONS = "audio:transcriptions"
OPERATOR = "operator"

DEFAULT_SCOPES = (SPEECH, FLASH, TRANSCRIPTIONS)
ALL_SCOPES = (*DEFAULT_SCOPES, OPERATOR)


@dataclass(frozen=True, slots=True)
class TenantLimits:
    """Limits of one tenant that differ from the settings; None takes the setting, 0 audio seconds means unlimited."""

    file_requests_per_second: int | None = None
    flash_requests_per_second: int | None = None
    transcription_requests_per_second: int | None = None
    streams: int | None = None
    concurrent_requests: int | None = None
    audio_seconds_per_day: int | None = None
    audio_seconds_per_month: int | None = None

    def as_dict(self) -> dict[str, int]:
        """Only the limits that are set, as stored."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def stored(cls, values: dict[str, int]) -> TenantLimits:
        """Read what `as_dict` wrote; a limit that only a newer Lingting knows is passed over."""
        known = {field.name for field in fields(cls)}
        return cls(**{name: value for name, value in values.items() if name in known})

    @classmethod
    def from_dict(cls, values: dict[str, int | None]) -> TenantLimits:
        """Check what an operator typed.

        Raises:
            ManagementError: a name is unknown or a value is not a whole number in range.
        """
        known = {field.name for field in fields(cls)}
        for name, value in values.items():
            if name not in known:
                raise ManagementError(f"there is no limit {name!r}; the limits are {', '.join(sorted(known))}")
            least = 0 if name.startswith("audio_") else 1
            if value is not None and (isinstance(value, bool) or not isinstance(value, int) or value < least):
                raise ManagementError(f"{name} must be a whole number of at least {least}, got {value!r}")
        return cls(**values)


@dataclass(frozen=True, slots=True)
class Principal:
    """An authenticated caller.

    Attributes:
        tenant_id: id of the tenant, the unit of limits and streams.
        tenant_name: name of the tenant, for people.
        app_id: the app, when it came with a tenant access token.
        key_id: the API key, when it came with one.
        owner: name of the person or team that answers for the credential.
        scopes: what it may do.
        models: names of the models it may use; None allows every model.
        limits: the tenant's own limits.
        hot_words: names and terms to listen for: the tenant's, then the credential's own, each once.
        weight: how much of the computing the tenant gets beside others when all are busy; 1 is everybody's.
        model: the tenant's default model; empty takes the server's.
    """

    tenant_id: str
    tenant_name: str
    app_id: str | None
    key_id: str | None
    owner: str
    scopes: frozenset[str]
    models: frozenset[str] | None = None
    limits: TenantLimits = TenantLimits()
    hot_words: tuple[str, ...] = ()
    weight: float = 1.0
    model: str = ""

    @property
    def credential_id(self) -> str:
        """The app_id or the id of the key: not secret, fit for logs and usage."""
        return self.app_id or self.key_id or ""

    @property
    def account(self) -> Account:
        """Who the compute for this caller is charged to."""
        return Account(self.tenant_id, weight=self.weight)

    def require(self, scope: str) -> None:
        """Pass when the credential has `scope`.

        Raises:
            MissingScope: it has not.
        """
        if scope not in self.scopes:
            raise MissingScope(scope)

    def may_use(self, model: str) -> None:
        """Pass when the credential may use `model`.

        Raises:
            ModelForbidden: it may not.
        """
        if self.models is not None and model not in self.models:
            raise ModelForbidden(model)
