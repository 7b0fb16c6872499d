"""A drawing as SVG: rows of points on logarithmic scales, light or dark as the
reader has it. Circles are what we have built, squares the others."""
import math
from xml.sax.saxutils import escape

WIDTH, LEFT, RIGHT, ROW = 760, 250, 40, 25
STYLE = """
svg { --ink: #1f2328; --soft: #59636e; --grid: #d1d9e0; --with: #0969da;
  --without: #bc4c00; }
@media (prefers-color-scheme: dark) {
  svg { --ink: #f0f6fc; --soft: #9198a1; --grid: #3d444d; --with: #4493f8;
    --without: #f0883e; }
}
text { font: 13px system-ui, sans-serif; fill: var(--ink); }
.head { font-weight: 600; }
.soft { fill: var(--soft); font-size: 12px; }
.end { text-anchor: end; }
.mid { text-anchor: middle; }
.grid { stroke: var(--grid); }
.with { fill: var(--with); }
.without { fill: var(--without); }
.span { stroke: var(--grid); stroke-width: 2; }
.on { stroke: var(--without); stroke-width: 2; fill: none; }
"""


class Scale:
    """Logarithmic. @param marks  [(value, label)], the ends among them"""

    def __init__(self, marks):
        self.marks = marks
        self.low, self.high = marks[0][0], marks[-1][0]

    def x(self, value):
        value = min(max(value, self.low), self.high)
        share = math.log(value / self.low) / math.log(self.high / self.low)
        return LEFT + share * (WIDTH - LEFT - RIGHT)


class Sheet:
    """What is drawn so far; `y` is where the next line goes."""

    def __init__(self):
        self.parts, self.y = [], 8

    def put(self, form, *values):
        self.parts.append(form % values)

    def text(self, x, y, words, class_=""):
        self.put('<text x="%.1f" y="%.1f" class="%s">%s</text>', x, y, class_,
                 escape(words))

    def head(self, words):
        self.y += 24
        self.text(0, self.y, words, "head")

    def axis(self, scale, rows):
        """Grid and labels for so many rows; y goes to the first."""
        top = self.y + 12
        for value, label in scale.marks:
            x = scale.x(value)
            self.put('<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" '
                     'class="grid"/>', x, x, top, top + rows * ROW)
            self.text(x, top + rows * ROW + 16, label, "soft mid")
        self.y = top + ROW / 2

    def row(self, label):
        self.text(LEFT - 14, self.y + 4, label, "end")

    def point(self, kind, x, is_hollow=False):
        fill = ('fill-opacity="0" stroke="var(--%s)" stroke-width="2"' % kind
                if is_hollow else "")
        if kind == "with":
            self.put('<circle cx="%.1f" cy="%.1f" r="5.5" class="with" %s/>',
                     x, self.y, fill)
        else:
            self.put('<rect x="%.1f" y="%.1f" width="10" height="10" '
                     'class="without" %s/>', x - 5, self.y - 5, fill)

    def beyond(self, x):
        """It would be further to the right, nobody knows how far."""
        y = self.y
        self.put('<path d="M%.1f %.1fh28m-7 -5l7 5l-7 5" class="on"/>',
                 x + 5, y)

    def legend(self, items):
        x = LEFT
        for kind, words in items:
            self.point(kind, x + 5)
            self.text(x + 16, self.y + 4, words)
            x += 26 + 7.2 * len(words)
        self.y += 4

    def span(self, x1, x2):
        """What connects the points of a row."""
        self.put('<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" '
                 'class="span"/>', x1, x2, self.y, self.y)

    def svg(self, title, words):
        """@param words  sentences that say what is to be seen
        @return the file's text"""
        height = self.y + 8
        return "\n".join(
            ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" '
             'width="%d" height="%d" role="img" aria-labelledby="t d">' % (
                 WIDTH, height, WIDTH, height),
             '<title id="t">%s</title>' % escape(title),
             '<desc id="d">%s</desc>' % escape(" ".join(words)),
             "<style>%s</style>" % STYLE] + self.parts + ["</svg>"])
