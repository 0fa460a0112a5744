"""Go's names of versions, cipher suites and curves, as exporter-toolkit takes them, and what OpenSSL calls the same."""

import ssl

from exporter.web_config.result import ClientAuth

VERSIONS = {"TLS12": ssl.TLSVersion.TLSv1_2, "TLS13": ssl.TLSVersion.TLSv1_3}
OLD_VERSIONS = {"TLS10": "1.0", "TLS11": "1.1"}
"""Known and refused. OpenSSL 3 offers them at security level 0 only, which lowers what is asked of keys and signatures
in every other version as well."""

SUITES = {
    f"TLS_ECDHE_{auth}_WITH_{suite}": f"ECDHE-{auth}-{called}"
    for suite, called in (
        ("AES_128_GCM_SHA256", "AES128-GCM-SHA256"),
        ("AES_256_GCM_SHA384", "AES256-GCM-SHA384"),
        ("CHACHA20_POLY1305_SHA256", "CHACHA20-POLY1305"),
        ("AES_128_CBC_SHA", "AES128-SHA"),
        ("AES_256_CBC_SHA", "AES256-SHA"),
    )
    for auth in ("ECDSA", "RSA")
}
"""Those up to TLS 1.2 that Go holds to be secure, which are the ones that exporter-toolkit takes."""

TLS13_SUITES = ("TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384", "TLS_CHACHA20_POLY1305_SHA256")

CURVES = {"CurveP256": "prime256v1", "CurveP384": "secp384r1", "CurveP521": "secp521r1", "X25519": "X25519"}

CLIENT_AUTH = {
    "NoClientCert": ClientAuth.NONE,
    "VerifyClientCertIfGiven": ClientAuth.VERIFY_IF_GIVEN,
    "RequireAndVerifyClientCert": ClientAuth.REQUIRE_AND_VERIFY,
}
UNVERIFIED = frozenset({"RequestClientCert", "RequireAnyClientCert", "RequireClientCert"})
"""Known and refused: they take certificates that are not verified, and Python's ssl verifies each that it asks for."""

HEADERS = {
    "Content-Security-Policy": (),
    "Strict-Transport-Security": (),
    "X-Content-Type-Options": ("nosniff",),
    "X-Frame-Options": ("deny", "sameorigin"),
    "X-XSS-Protection": (),
}
"""The headers that may be set, and the values of those that have only a few."""
