"""An authority on disk."""

from pathlib import Path

import pytest

from carbonnode.errors import ConfigError, KeystoreError
from carbonnode.identity import CertificateAuthority, create_authority
from carbonnode.identity.authority import CERTIFICATE_FILE, KEY_FILE

NOW = 1_800_000_000_000


def test_saved_and_loaded(tmp_path: Path) -> None:
    authority = create_authority("CA", NOW, NOW + 1000)
    authority.save(tmp_path / "ca")
    assert (tmp_path / "ca" / KEY_FILE).stat().st_mode & 0o777 == 0o600
    assert CertificateAuthority.load(tmp_path / "ca").certificate_pem == authority.certificate_pem
    with pytest.raises(KeystoreError, match="exists already"):
        authority.save(tmp_path / "ca")


def test_a_passphrase_protects_the_key(tmp_path: Path) -> None:
    authority = create_authority("CA", NOW, NOW + 1000)
    authority.save(tmp_path, "secret")
    assert CertificateAuthority.load(tmp_path, "secret").certificate_pem == authority.certificate_pem
    for wrong in ("other", None):
        with pytest.raises(KeystoreError, match="can't be opened"):
            CertificateAuthority.load(tmp_path, wrong)


def test_key_and_certificate_belong_together(tmp_path: Path) -> None:
    create_authority("A", NOW, NOW + 1000).save(tmp_path / "a")
    create_authority("B", NOW, NOW + 1000).save(tmp_path / "b")
    (tmp_path / "a" / CERTIFICATE_FILE).write_bytes((tmp_path / "b" / CERTIFICATE_FILE).read_bytes())
    with pytest.raises(KeystoreError, match="doesn't belong"):
        CertificateAuthority.load(tmp_path / "a")


def test_validity_must_be_a_span() -> None:
    with pytest.raises(ConfigError, match="must end after"):
        create_authority("CA", NOW, NOW)
