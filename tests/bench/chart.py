"""What is asked for as a picture: a bar for jidpost, one for what stands beside it, and a mark at what is asked."""
from xml.sax.saxutils import escape

WIDTH, LEFT, RIGHT, TOP, ROW, BAR = 1180, 500, 250, 60, 46, 14
OURS, BESIDE, MARK, TEXT, MISSED = "#2b6cb0", "#a0aec0", "#1a202c", "#2d3748", "#c53030"


def number(value):
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def text(x, y, words, size=13, color=TEXT, anchor="start", weight="normal"):
    return (f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" fill="{color}" text-anchor="{anchor}" '
            f'font-weight="{weight}">{escape(words)}</text>')


def bar(y, value, most, color):
    width = (WIDTH - LEFT - RIGHT) * value / most if most else 0
    return f'<rect x="{LEFT}" y="{y:.1f}" width="{max(width, 1):.1f}" height="{BAR}" fill="{color}"/>', LEFT + width


def limit(row):
    """What is asked in the row's own unit, or None."""
    if not row["asked"]:
        return None
    value = float(row["asked"].split()[1])
    return value * row["beside_median"] if row["asked"].endswith("×") else value


def draw_row(row, y):
    asked, beside = limit(row), row["beside_median"]
    most = max(value for value in (row["median"], beside, asked) if value is not None)
    shapes = [text(LEFT - 10, y + BAR + 3, row["what"], anchor="end")]
    shape, end = bar(y, row["median"], most, MISSED if row["reached"] is False else OURS)
    shapes += [shape, text(end + 6, y + BAR - 2, f"{number(row['median'])} {row['unit']}", 12, weight="bold")]
    if beside is not None:
        shape, end = bar(y + BAR + 2, beside, most, BESIDE)
        shapes += [shape, text(end + 6, y + 2 * BAR, f"{number(beside)} {row['peer']}", 12)]
    if asked is not None:
        x = LEFT + (WIDTH - LEFT - RIGHT) * asked / most if most else LEFT
        shapes.append(f'<line x1="{x:.1f}" y1="{y - 3:.1f}" x2="{x:.1f}" y2="{y + 2 * BAR + 5:.1f}" stroke="{MARK}" '
                      'stroke-width="1.5" stroke-dasharray="3 2"/>')
    return shapes


def draw(result):
    rows = [row for row in result["rows"] if row["median"] is not None and row["asked"]]
    height = TOP + ROW * len(rows) + 40
    about = (f"{result['machine']['processors']} × {result['machine']['processor']}, "
             f"Linux {result['machine']['kernel']}; medians of {result['runs']} runs, each beside its peer")
    shapes = [text(20, 26, "jidpost beside its peers, in the same run", 18, weight="bold"), text(20, 46, about, 12)]
    for at, row in enumerate(rows):
        shapes += draw_row(row, TOP + 14 + ROW * at)
    legend = "dashed: what is asked for (each row has a scale of its own); red: not reached"
    shapes.append(text(20, height - 12, legend, 12))
    return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
            f'font-family="sans-serif">\n<rect width="100%" height="100%" fill="white"/>\n' + "\n".join(shapes)
            + "\n</svg>\n")
