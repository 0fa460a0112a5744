"""What is said of encryption and of clients' certificates -> TlsSettings."""

import ssl
from collections.abc import Iterable, Iterator
from pathlib import Path

from exporter.config.files import Content, UnreadableFile
from exporter.config.result import exposure
from exporter.config.validate import Checked
from exporter.web_config.context import (
    BadSetting,
    Pem,
    choose_curve,
    choose_suites,
    load_authorities,
    load_pair,
    try_out,
    untimely,
)
from exporter.web_config.model import WebFile
from exporter.web_config.names import CLIENT_AUTH, CURVES, SUITES, TLS13_SUITES, VERSIONS
from exporter.web_config.result import ClientAuth, TlsSettings, canonical
from exporter.web_config.trouble import Trouble

_SECTION = "tls_server_config"


class Tls:
    """Reads the section and the files that it names."""

    def __init__(self, checked: Checked[WebFile], folder: Path, trouble: Trouble) -> None:
        self.files: list[Path] = []
        """Every file that was read or looked for."""
        self._checked = checked
        self._section = checked.content.tls_server_config
        self._folder = folder
        self._trouble = trouble

    def settings(self) -> TlsSettings | None:
        """What the section asks for; None where it asks for nothing, or where errors were found in it."""
        if (_SECTION,) in self._checked.refused or not self._gives_any():
            return None
        before = len(self._trouble.errors)
        certificate = self._pem("cert", needed=True)
        key = self._pem("key", needed=True)
        authorities = self._pem("client_ca", needed=False)
        client_auth = self._client_auth()
        allowed = self._allowed_sans()
        context = self._context()
        self._refuse_all(self._load(context, certificate, key, authorities))
        if len(self._trouble.errors) > before or self._any_refused() or certificate is None:
            return None
        self._try_out(context, certificate)
        if client_auth is not ClientAuth.NONE:
            context.verify_mode = (
                ssl.CERT_REQUIRED if client_auth is ClientAuth.REQUIRE_AND_VERIFY else ssl.CERT_OPTIONAL
            )
            # As in Go, each certificate that is given is trusted by itself, an intermediate one too.
            context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        return TlsSettings(context, client_auth, allowed)

    def _gives_any(self) -> bool:
        return bool(self._section.model_fields_set) or self._any_refused()

    def _any_refused(self) -> bool:
        return any(path[0] == _SECTION for path in self._checked.refused if path)

    def _gives(self, key: str) -> bool:
        """Whether the key is there, its value good or bad."""
        return key in self._section.model_fields_set or any(
            path[:2] == (_SECTION, key) for path in self._checked.refused
        )

    def _pem(self, name: str, *, needed: bool) -> Pem | None:
        """What is given under the name, or in the file given under ``<name>_file``; errors are noted."""
        in_file = f"{name}_file"
        if self._gives(name) and self._gives(in_file):
            self._refuse("", f"gives both {name} and {in_file} (give one)")
            return None
        text: str | None = getattr(self._section, name)
        file: str | None = getattr(self._section, in_file)
        pem = None
        if text is not None:
            pem = Pem(name, "", text.encode())
        elif file is not None:
            pem = self._from_file(self._folder / file, name)
        if pem is not None:
            missing = pem.missing()
            if missing is None:
                return pem
            self._refuse_all([pem.bad(missing)])
        elif needed and not self._gives(name) and not self._gives(in_file):
            self._refuse("", f"lacks {name} or {in_file}, without which there is no TLS (give one)")
        return None

    def _from_file(self, path: Path, name: str) -> Pem | None:
        key = f"{name}_file"
        self.files.append(path)
        try:
            content = Content.of(path)
        except UnreadableFile as error:
            self._refuse(key, f"{path} {error}")
            return None
        exposed = exposure(content.mode)
        if name == "key" and exposed is not None:
            self._trouble.warn((_SECTION, key), exposed)
        return Pem(key, str(path), content.data)

    def _client_auth(self) -> ClientAuth:
        auth = CLIENT_AUTH[self._section.client_auth_type or "NoClientCert"]
        authorities = next((key for key in ("client_ca", "client_ca_file") if self._gives(key)), None)
        known = not self._gives("client_auth_type") or self._section.client_auth_type is not None
        if authorities is not None and auth is ClientAuth.NONE and known:
            self._refuse(authorities, "has no effect without client_auth_type (say RequireAndVerifyClientCert)")
        if authorities is None and auth is not ClientAuth.NONE:
            self._refuse(
                "client_auth_type",
                "needs client_ca or client_ca_file: the system's authorities, which would take its place, vouch for "
                "anybody's certificates",
            )
        if self._gives("client_allowed_sans") and auth is ClientAuth.NONE and known:
            self._refuse(
                "client_allowed_sans", "has no effect without client_auth_type (say RequireAndVerifyClientCert)"
            )
        if self._section.client_allowed_sans and auth is ClientAuth.VERIFY_IF_GIVEN:
            self._trouble.warn(
                (_SECTION, "client_allowed_sans"),
                "keeps out every client that shows no certificate, jobs and probes too",
            )
        return auth

    def _allowed_sans(self) -> frozenset[str]:
        allowed = self._section.client_allowed_sans
        if allowed == [] and not self._any_refused():
            self._refuse("client_allowed_sans", "an empty list lets nobody in (leave the key out to allow any name)")
        return frozenset(map(canonical, allowed or ()))

    def _versions(self) -> list[str]:
        """The versions to offer; none if the first is above the last."""
        order = list(VERSIONS)
        return order[order.index(self._section.min_version) : order.index(self._section.max_version) + 1]

    def _context(self) -> ssl.SSLContext:
        """The context as far as it does not depend on certificates; errors are noted."""
        section = self._section
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        if not self._versions():
            self._refuse("min_version", f"{section.min_version} is above max_version, {section.max_version}")
        context.minimum_version = VERSIONS[section.min_version]
        context.maximum_version = VERSIONS[section.max_version]
        if not section.prefer_server_cipher_suites:
            context.options &= ~ssl.Options.OP_CIPHER_SERVER_PREFERENCE
        self._choose_suites(context)
        self._choose_curve(context)
        return context

    def _choose_suites(self, context: ssl.SSLContext) -> None:
        given = self._section.cipher_suites
        some = [suite for suite in TLS13_SUITES if suite in given]
        if some and len(some) < len(TLS13_SUITES):
            self._refuse(
                "cipher_suites",
                f"{', '.join(some)} cannot be chosen: TLS 1.3 has all three of its suites or is not offered "
                "(leave them out)",
            )
        chosen = {suite: SUITES[suite] for suite in given if suite in SUITES}
        if chosen:
            self._refuse_all(choose_suites(context, chosen))
        elif given and "TLS12" in self._versions():
            self._refuse("cipher_suites", "has no suite of TLS 1.2 (add one, or say min_version: TLS13)")

    def _choose_curve(self, context: ssl.SSLContext) -> None:
        curves = self._section.curve_preferences
        if len(curves) > 1:
            self._refuse(
                "curve_preferences",
                f"{', '.join(curves)} are several, and Python's ssl takes one (give one, or leave the key out for "
                "OpenSSL's own choice)",
            )
        elif curves:
            self._refuse_all(choose_curve(context, curves[0], CURVES[curves[0]]))

    @staticmethod
    def _load(
        context: ssl.SSLContext, certificate: Pem | None, key: Pem | None, authorities: Pem | None
    ) -> Iterator[BadSetting]:
        """Load what there is into the context; yields what is wrong with it."""
        try:
            if certificate is not None and key is not None:
                load_pair(context, certificate, key)
        except BadSetting as bad:
            yield bad
        try:
            if authorities is not None:
                load_authorities(context, authorities)
        except BadSetting as bad:
            yield bad

    def _try_out(self, context: ssl.SSLContext, certificate: Pem) -> None:
        chosen = any(suite in SUITES for suite in self._section.cipher_suites)
        try:
            try_out(context, self._versions(), suites_chosen=chosen)
        except BadSetting as bad:
            self._refuse(bad.key, bad.message)
        else:
            said = untimely(context, certificate)
            if said is not None:
                self._trouble.warn((_SECTION, certificate.key), said)

    def _refuse_all(self, problems: Iterable[BadSetting]) -> None:
        for bad in problems:
            self._refuse(bad.key, bad.message)

    def _refuse(self, key: str, message: str) -> None:
        self._trouble.refuse((_SECTION, key) if key else (_SECTION,), message)
