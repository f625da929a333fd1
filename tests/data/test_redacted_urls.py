"""Hide the credentials of URLs in texts."""

import pytest

from data.redacted_urls import identify_url, redact


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("http://host/a.zip", "http://host/a.zip"),
        ("http://host/path@1/a.zip", "http://host/path@1/a.zip"),
        ("https://me:secret@host:80/a.zip", "https://***@host:80/a.zip"),
        ("https://token@host/a.zip", "https://***@host/a.zip"),
        ("https://me:se@cret@host/a.zip", "https://***@host/a.zip"),
        ("https://h/a?X-Amz-Signature=1f==&Expires=9", "https://h/a?X-Amz-Signature=***&Expires=***"),
        ("https://h/a?secret", "https://h/a?***"),
        (
            "https://h/a;jsessionid=secret/b#access_token=secret",
            "https://h/a;jsessionid=***/b#access_token=***",
        ),
        (
            "to url 'ftp://me:secret@h/x?y=1' is refused",
            "to url 'ftp://***@h/x?y=***' is refused",
        ),
        ("no URL: a?b=c, me@host", "no URL: a?b=c, me@host"),
    ],
)
def test_credentials_are_hidden(text, shown):
    assert redact(text) == shown


def test_an_identity_differs_by_url_but_not_by_user():
    assert identify_url("http://h/a") == "http://h/a"
    assert identify_url("http://h/a?id=1") != identify_url("http://h/a?id=2")
    assert identify_url("http://me:secret@h/a") == identify_url("http://me:other@h/a")
    assert "secret" not in identify_url("http://me:secret@h/a?key=secret")
