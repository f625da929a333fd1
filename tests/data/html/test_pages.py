import base64

from data.html.pages import data_uri


def test_data_uris_hold_the_bytes():
    head, content = data_uri(b"bytes", "png").split(",")
    assert head == "data:image/png;base64"
    assert base64.b64decode(content) == b"bytes"
