"""TLS on every port, by sslyze: versions 1.2 and 1.3 only, strong ciphers and curves only, and none of the
weaknesses that it knows. A server of Python's own, which is laxer, is scanned as well and has to be
found lax: a check that finds nothing there finds nothing anywhere.

usage: tls.py PROGRAM H2SPEC
"""

import contextlib
import datetime
import http.client
import ipaddress
import json
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

import h2spec
from server import PATIENCE, Server, report

PROGRAM, H2SPEC = sys.argv[1:3]
PORTS = ["resp", "http", "admin"]

OLD = ["ssl_2_0", "ssl_3_0", "tls_1_0", "tls_1_1"]
NEW = ["tls_1_2", "tls_1_3"]

# Forward secrecy and authenticated encryption, all of them.
SUITES = {
    "TLS_AES_128_GCM_SHA256",
    "TLS_AES_256_GCM_SHA384",
    "TLS_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256",
    "TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384",
    "TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256",
}
CURVES = {"X25519", "secp256r1", "prime256v1", "secp384r1"}


def make_certificate(folder):
    """A certificate for loopback that signs itself: the files of it and of its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.timezone.utc)
    names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(days=1))
        .not_valid_after(now + datetime.timedelta(days=30))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    paths = Path(folder) / "cert.pem", Path(folder) / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.PKCS8,
            serialization.NoEncryption(),
        )
    )
    paths[1].chmod(0o600)
    return paths


def scan(host, port):
    """What sslyze finds on a port: the result of each of its scans."""
    sslyze = Path(sys.executable).parent / "sslyze"
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "found.json"
        words = [sslyze, f"--json_out={path}", f"{host}:{port}"]
        # It ends with 1 when its own recommendation is not met, which is judged here instead.
        subprocess.run(words, capture_output=True, timeout=PATIENCE * 3)
        found = json.loads(path.read_text())["server_scan_results"][0]
    assert found["connectivity_status"] == "COMPLETED", found["connectivity_error_trace"]
    scans = {name: one for name, one in found["scan_result"].items() if one["result"]}
    broken = [
        name
        for name, one in found["scan_result"].items()
        if one["status"] not in ("COMPLETED", "NOT_SCHEDULED")
    ]
    assert not broken, f"these scans did not end: {broken}"
    return {name: one["result"] for name, one in scans.items()}


def weaknesses(found):
    """All that is wrong with what was found."""
    wrong = []

    def must(holds, what):
        if not holds:
            wrong.append(what)

    for version in OLD + NEW:
        result = found[f"{version}_cipher_suites"]
        must(result["is_tls_version_supported"] == (version in NEW), f"support of {version}")
        names = {one["cipher_suite"]["name"] for one in result["accepted_cipher_suites"]}
        must(names <= SUITES, f"{version}: weak ciphers {sorted(names - SUITES)}")
    curves = {curve["name"] for curve in found["elliptic_curves"]["supported_curves"]}
    must(curves and curves <= CURVES, f"curves {sorted(curves)}")
    must(not found["tls_compression"]["supports_compression"], "compression")
    must(not found["openssl_ccs_injection"]["is_vulnerable_to_ccs_injection"], "CCS injection")
    must(not found["heartbleed"]["is_vulnerable_to_heartbleed"], "Heartbleed")
    must(found["robot"]["robot_result"] == "NOT_VULNERABLE_RSA_NOT_SUPPORTED", "ROBOT")
    renegotiation = found["session_renegotiation"]
    must(not renegotiation["is_vulnerable_to_client_renegotiation_dos"], "renegotiation")
    must(renegotiation["client_renegotiations_success_count"] == 0, "renegotiation by the client")
    must(found["tls_extended_master_secret"]["supports_ems_extension"], "extended master secret")
    return wrong


@contextlib.contextmanager
def lax_server(certificate, key):
    """A server with what Python and OpenSSL allow: ciphers without authenticated encryption."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    context.set_ciphers("ALL:@SECLEVEL=0")
    listener = socket.create_server(("127.0.0.1", 0))

    def serve():
        while True:
            try:
                stream, _ = listener.accept()
            except OSError:
                return  # The listener is closed: the test is over.
            threading.Thread(target=greet, args=(stream,), daemon=True).start()

    def greet(stream):
        with contextlib.suppress(OSError):
            with context.wrap_socket(stream, server_side=True) as wrapped:
                wrapped.recv(1)

    threading.Thread(target=serve, daemon=True).start()
    try:
        yield listener.getsockname()
    finally:
        listener.close()


def case_of_port(name):
    """The case that scans one port."""

    def case():
        wrong = weaknesses(scan(*SERVER.address(name)))
        assert not wrong, "; ".join(wrong)
        SERVER.must_live()

    case.__name__ = f"only_strong_tls_on_the_{name}_port"
    return case


def a_lax_server_is_found_lax():
    with lax_server(*FILES) as address:
        wrong = weaknesses(scan(*address))
    assert any("weak ciphers" in one for one in wrong), wrong
    assert any("curves" in one for one in wrong), wrong


def nothing_is_answered_in_the_clear():
    for name in PORTS:
        for question in [b"*1\r\n$4\r\nPING\r\n", b"GET /livez HTTP/1.1\r\nhost: kidoku\r\n\r\n"]:
            with socket.create_connection(SERVER.address(name), timeout=PATIENCE) as plain:
                plain.sendall(question)
                with contextlib.suppress(ConnectionResetError):
                    answer = plain.recv(1 << 10)
                    # Nothing, or an alert of TLS (a record of kind 21).
                    assert answer[:1] in (b"", b"\x15"), (name, answer)


def the_certificate_that_was_given_is_shown():
    context = ssl.create_default_context(cafile=str(FILES[0]))
    given = ssl.PEM_cert_to_DER_cert(FILES[0].read_text())
    for name in PORTS:
        with socket.create_connection(SERVER.address(name), timeout=PATIENCE) as plain:
            with context.wrap_socket(plain, server_hostname="localhost") as wrapped:
                assert wrapped.getpeercert(binary_form=True) == given, name


def http2_over_tls_is_as_good_as_in_the_clear():
    context = ssl.create_default_context(cafile=str(FILES[0]))
    host, port = SERVER.address("http")
    link = http.client.HTTPSConnection(host, port, timeout=PATIENCE, context=context)
    link.request("POST", "/v1/events", h2spec.EVENTS)
    assert link.getresponse().status == 200
    h2spec.must_find_only_what_is_known(H2SPEC, SERVER.address("http"), "--tls", "--insecure")


CASES = [
    *map(case_of_port, PORTS),
    nothing_is_answered_in_the_clear,
    the_certificate_that_was_given_is_shown,
    http2_over_tls_is_as_good_as_in_the_clear,
    a_lax_server_is_found_lax,
]

if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        FILES = make_certificate(folder)
        CONFIG = f'[tls]\ncert = "{FILES[0]}"\nkey = "{FILES[1]}"\n'
        with Server(PROGRAM, "--dev", config=CONFIG) as SERVER:
            report("tls", CASES)
