"""The TLS of the listener: versions, ciphers, and a certificate that can be read again."""

from __future__ import annotations

import logging
import ssl

from lingting.errors import SettingsError
from lingting.settings import Settings

TLS12_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"

log = logging.getLogger(__name__)


def tls_context(settings: Settings) -> ssl.SSLContext:
    """TLS 1.2 and 1.3 with forward secrecy and authenticated encryption only.

    Raises:
        SettingsError: the certificate or the key cannot be used; the message names the file.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(TLS12_CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    load_certificate(context, settings)
    return context


def load_certificate(context: ssl.SSLContext, settings: Settings) -> None:
    """Put the certificate and key of the settings into a context; connections made from now on use them.

    Raises:
        SettingsError: they cannot be used; the context is unchanged.
    """
    certificate, key = settings.tls_certificate, settings.tls_key
    assert certificate is not None
    assert key is not None
    for name, path in (("LINGTING_TLS_CERTIFICATE", certificate), ("LINGTING_TLS_KEY", key)):
        try:
            path.read_bytes()
        except OSError as error:
            raise SettingsError(f"{name}: {path} cannot be read: {error.strerror}") from None
    try:
        ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER).load_cert_chain(certificate, key, password="")
        context.load_cert_chain(certificate, key, password="")
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", None) or str(error)
        raise SettingsError(
            f"the TLS certificate {certificate} and key {key} cannot be used ({reason}); they must be PEM files that "
            "belong together, the key without a password"
        ) from None


def reload_certificate(tls: ssl.SSLContext | None, settings: Settings) -> None:
    """Read the certificate again, as the operator asks with SIGHUP; where it cannot be used, the old one stays."""
    if tls is None:
        log.info("SIGHUP: no TLS certificate to reload")
        return
    try:
        load_certificate(tls, settings)
    except SettingsError as error:
        log.error("SIGHUP: the old certificate stays: %s", error)
    else:
        log.info("SIGHUP: the TLS certificate was reloaded")
