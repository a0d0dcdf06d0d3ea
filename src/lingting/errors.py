"""The errors of the domain: raised once where the fact is known, turned into a protocol's answer in `api`."""

from __future__ import annotations


class LingtingError(Exception):
    """Base of every error that a caller or an operator can act on; `str()` of it says what to do."""


class SettingsError(LingtingError):
    """A setting is unknown or invalid; the message names it."""


class ModelError(LingtingError):
    """A model is missing, damaged or cannot be installed; the message names the command that mends it."""


class DownloadFailed(ModelError):
    """A file could not be fetched: no address answered, or none sent it whole; trying again may help."""


class UpstreamChanged(ModelError):
    """What was fetched is not what the catalogue names: its size or digest differs, and nothing was installed."""


class AudioError(LingtingError):
    """The audio cannot be used; the message says why."""


class EmptyAudio(AudioError):
    """There are no samples at all."""


class UndecodableAudio(AudioError):
    """The bytes are not audio in any format that is understood."""


class AudioTooLong(AudioError):
    """The audio is longer than the limit.

    Attributes:
        limit_seconds: the limit that was passed.
    """

    def __init__(self, message: str, limit_seconds: float) -> None:
        super().__init__(message)
        self.limit_seconds = limit_seconds


class Overloaded(LingtingError):
    """New work is refused because the predicted wait is over the limit, or the server is draining.

    Attributes:
        retry_after: seconds after which trying again makes sense.
    """

    def __init__(self, message: str, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class ModelLoading(Overloaded):
    """A model that may be named is not loaded now; the message says whether it will be."""


class UnknownModel(LingtingError):
    """A model that is not served here is asked for; the message lists those that are."""


class NoSpeakers(LingtingError):
    """Speakers are asked for and this server cannot tell them apart, or not in a recording as long as this."""


class RecognitionFailed(LingtingError):
    """The engine failed or timed out on audio that was accepted."""


class RecognitionTooSlow(RecognitionFailed):
    """The text of a recording was not ready within the time that the settings allow."""

    def __init__(self, seconds: float) -> None:
        super().__init__(
            f"the recognition took longer than the limit of {seconds:g} s; try again later, or send shorter recordings"
        )


class EngineRestarted(LingtingError):
    """An engine lost the works that it held; they can be begun again.

    Attributes:
        guilty: whether one of the works of this call may be the cause.
    """

    def __init__(self, message: str, *, guilty: bool) -> None:
        super().__init__(message)
        self.guilty = guilty


class StreamBehind(LingtingError):
    """A stream is sent faster than it can be heard, and its buffer is full: the sender should wait and send again.

    Attributes:
        retry_after: seconds after which there will be room.
    """

    def __init__(self, message: str, retry_after: float = 1.0) -> None:
        super().__init__(message)
        self.retry_after = retry_after
