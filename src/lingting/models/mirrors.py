"""Where downloads come from: the published addresses, rewritten and put in order as the operator's settings say."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from urllib.parse import quote, urlsplit

from lingting.errors import DownloadFailed
from lingting.settings import Settings

HUGGING_FACE = "https://huggingface.co"
MODEL_SCOPE = "https://www.modelscope.cn"
_MODEL_SCOPE_NAMES = (MODEL_SCOPE, "https://modelscope.cn")


@dataclass(frozen=True, slots=True)
class Mirrors:
    """What the operator said about where downloads come from.

    Attributes:
        own: address of a web folder of the operator's own that is tried first; `<own>/<model>/<file>` is looked for.
        hugging_face: what stands in for https://huggingface.co.
        model_scope: what stands in for https://www.modelscope.cn.
        prefer: hosts whose addresses are tried before others, in this order.
        proxy: address of the proxy for all downloads; None takes that of the environment (HTTPS_PROXY).
    """

    own: str = ""
    hugging_face: str = HUGGING_FACE
    model_scope: str = MODEL_SCOPE
    prefer: tuple[str, ...] = ()
    proxy: str | None = None

    @classmethod
    def of(cls, settings: Settings) -> Mirrors:
        """Those of the settings."""
        return cls(
            own=settings.download_url or "",
            hugging_face=settings.hugging_face_url,
            model_scope=settings.modelscope_url,
            prefer=tuple(host.strip() for host in settings.download_prefer.split(",") if host.strip()),
            proxy=settings.download_proxy,
        )

    def urls(self, model: str, path: str, published: Iterable[str]) -> list[str]:
        """The addresses of a file in the order in which they are tried.

        Args:
            model: the model's name.
            path: the file's path in the model's folder, or the archive's name.
            published: where it was published.
        """
        own = [f"{self.own.rstrip('/')}/{model}/{quote(path)}"] if self.own else []
        return own + sorted((self._rewritten(url) for url in published), key=lambda url: self.rank([url]))

    def rank(self, urls: Sequence[str]) -> int:
        """Place of the most preferred host among the addresses; equal for all that are not preferred."""
        places = [
            place
            for url in urls
            for place, host in enumerate(self.prefer)
            if (name := urlsplit(url).hostname or "") == host or name.endswith("." + host)
        ]
        return min(places, default=len(self.prefer))

    def require_safe(self, url: str) -> None:
        """Refuse an address that is neither https nor on a server that the operator named with http.

        Raises:
            DownloadFailed: it is neither.
        """
        parts = urlsplit(url)
        if parts.scheme == "https":
            return
        named = (self.own, self.hugging_face, self.model_scope)
        if parts.scheme == "http" and (parts.scheme, parts.netloc) in {urlsplit(each)[:2] for each in named}:
            return
        raise DownloadFailed(f"{url} is not an https address, and not on a server that the settings name")

    def _rewritten(self, url: str) -> str:
        if url.startswith(HUGGING_FACE + "/"):
            return self.hugging_face.rstrip("/") + url.removeprefix(HUGGING_FACE)
        for name in _MODEL_SCOPE_NAMES:
            if url.startswith(name + "/"):
                return self.model_scope.rstrip("/") + url.removeprefix(name)
        return url
