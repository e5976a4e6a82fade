"""Equations as MathML, which browsers show by themselves: a hook of mkdocs.

A block is fenced as `math`; in a line, an equation stands between $` and `$, as on GitHub.
"""

import re

from latex2mathml.converter import convert

BLOCK = re.compile(r"^```math\n(.*?)\n```$", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"\$`(.+?)`\$")


def on_page_markdown(markdown, **kwargs):
    return INLINE.sub(to_span, BLOCK.sub(to_block, markdown))


def to_block(match):
    # What is wider than a phone scrolls.
    return f'<div style="overflow-x: auto">{convert(match[1], display="block")}</div>'


def to_span(match):
    # Within a span: Markdown takes an equation that starts a line for a block.
    return f"<span>{convert(match[1])}</span>"
