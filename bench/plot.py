"""A plot of one part: a bar for each way, with a whisker from the least to the greatest ratio."""

from __future__ import annotations

from html import escape

from bench.report import Line, Part

_WIDTH, _NAMES, _BAR, _ROW, _TOP = 960, 370, 440, 30, 64


def svg(part: Part) -> str:
    """The plot as SVG."""
    greatest = max(line.ratio.greatest for line in part.lines)
    scale = _BAR / greatest
    height = _TOP + _ROW * len(part.lines) + 30
    one = _NAMES + scale
    title = f"{part.name}: time as multiples of {part.yardstick}"
    rows = [_bar(line, _TOP + _ROW * number, scale) for number, line in enumerate(part.lines)]
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {height}" font-family="sans-serif">',
            f'<rect width="{_WIDTH}" height="{height}" fill="#fff"/>',
            f'<text x="16" y="26" font-size="17" font-weight="bold">{escape(title)}</text>',
            f'<text x="16" y="46" font-size="12" fill="#555">{escape(part.subject)}; medians, least to greatest</text>',
            f'<path d="M{one:.1f} {_TOP - 6}V{height - 24}" stroke="#999" stroke-dasharray="3 3"/>',
            *rows,
            f'<text x="{one:.1f}" y="{height - 10}" font-size="11" fill="#555" text-anchor="middle">1</text>',
            "</svg>\n",
        ]
    )


def _bar(line: Line, top: int, scale: float) -> str:
    colour = "#1f6f8b" if line.name.startswith("ours") else "#c3c9d1"
    middle = top + 11
    least, median, greatest = (
        _NAMES + each * scale for each in (line.ratio.least, line.ratio.median, line.ratio.greatest)
    )
    stored = f" · {line.stored.median / 1e6:.0f} MB" if line.stored and line.stored.median else ""
    return (
        f'<text x="{_NAMES - 10}" y="{middle + 4}" font-size="13" text-anchor="end">{escape(line.name)}</text>'
        f'<rect x="{_NAMES}" y="{top}" width="{median - _NAMES:.1f}" height="22" rx="2" fill="{colour}"/>'
        f'<line x1="{least:.1f}" x2="{greatest:.1f}" y1="{middle}" y2="{middle}" stroke="#222" stroke-width="2"/>'
        f'<text x="{greatest + 8:.1f}" y="{middle + 4}" font-size="12">{line.ratio.median:.2f}{stored}</text>'
    )
