"""Pages whose text is elsewhere in the repository: a hook of mkdocs.

Such a page is nothing but a link to that file, as which a forge shows it.
"""

import re
from pathlib import Path

LINK = re.compile(r"\[[^\]]*\]\((\.\./[^)]+\.md)\)\s*")


def on_page_markdown(markdown, *, page, **kwargs):
    link = LINK.fullmatch(markdown)
    if link is None:
        return markdown
    return (Path(page.file.abs_src_path).parent / link[1]).read_text(encoding="utf-8")
