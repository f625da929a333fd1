"""Read an HTML page in tests."""

import html.parser


class ParsedPage(html.parser.HTMLParser):
    """Parse a page like a browser: check that elements are closed, and collect references, ids and text.

    Args:
        text: the page.
    """

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open, self.tags, self.references, self.ids, self.data = [], set(), [], set(), []
        self.feed(text)
        self.text = " ".join(" ".join(self.data).split())

    def handle_starttag(self, tag, attributes):
        self.tags.add(tag)
        self.references += [
            value for name, value in attributes if name in ("src", "href", "srcset", "action")
        ]
        self.ids |= {value for name, value in attributes if name == "id"}
        if tag not in ("meta", "img", "path", "circle", "br"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if self.open[-1:] != ["style"]:
            self.data.append(data)
