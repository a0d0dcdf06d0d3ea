"""The TLS of the listener: versions, ciphers, and a certificate that can be read again."""

from __future__ import annotations

import logging
import ssl
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from lingting.errors import SettingsError
from lingting.settings import Settings

TLS12_CIPHERS = "ECDHE+AESGCM:ECDHE+CHACHA20"

log = logging.getLogger(__name__)


def tls_context(settings: Settings) -> ssl.SSLContext:
    """TLS 1.2 and 1.3 with forward secrecy and authenticated encryption only.

    Raises:
        SettingsError: the certificate or the key cannot be used; the message names the file.
    """
    context = _context()
    load_certificate(context, settings)
    return context


def own_tls_context(data_dir: Path) -> ssl.SSLContext:
    """The same with a certificate that nobody has signed, for clients that check none; made once and kept.

    Raises:
        SettingsError: it cannot be written.
    """
    path = data_dir / "own-certificate.pem"
    try:
        if not path.exists():
            with tempfile.NamedTemporaryFile(dir=data_dir, prefix=path.name, delete=False) as file:  # mode 0600
                file.write(_self_signed())
            Path(file.name).replace(path)
        context = _context()
        context.load_cert_chain(path, password="")
    except OSError as error:
        raise SettingsError(f"the certificate {path} cannot be made or read: {error.strerror or error}") from None
    return context


def _context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_ciphers(TLS12_CIPHERS)
    context.options |= ssl.OP_NO_COMPRESSION | ssl.OP_NO_RENEGOTIATION
    context.set_alpn_protocols(["http/1.1"])
    return context


def _self_signed() -> bytes:
    """A key and its certificate for ten years, as PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "lingting")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=3650))
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    return private + made.public_bytes(Encoding.PEM)


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
