"""Equations as MathML, which browsers show by themselves: a hook of mkdocs.

A block is fenced as `math`; in a line, an equation stands between $` and `$, as on GitHub.
"""

import re

from latex2mathml.converter import convert

BLOCK = re.compile(r"^```math\n(.*?)\n```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"\$`(.+?)`\$")


def on_page_markdown(markdown, **kwargs):
    markdown = BLOCK.sub(lambda match: convert(match[1], display="block"), markdown)
    # In an element of a line: Markdown takes what starts a line with another one for a block.
    return INLINE.sub(lambda match: f"<span>{convert(match[1])}</span>", markdown)
