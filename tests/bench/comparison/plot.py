"""The figures as one SVG: points on logarithmic scales, light or dark as the
reader has it. Circles are with the module, squares without."""
import math
from xml.sax.saxutils import escape

from .report import WAYS, WORKERS

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


TIMES = Scale([(0.0001, "0.1 ms"), (0.001, "1 ms"), (0.01, "10 ms"),
               (0.1, "0.1 s"), (1, "1 s"), (10, "10 s"), (100, "100 s")])
WAKES = Scale([(10, "10"), (100, "100"), (1000, "1,000"), (10000, "10,000")])


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


def _times(sheet, figures, title, value, words):
    """A row for each number of phones. @param value  (side, n) to seconds"""
    sheet.head(title)
    sheet.axis(TIMES, len(figures.phones))
    for n in figures.phones:
        sheet.row("%s phones wait" % n)
        at = {}
        for side in ("with", "without"):
            seconds = value(side, n)
            at[side] = TIMES.x(min(seconds, figures.bound_s))
            words.append("%s, %s phones waiting, %s: %s." % (
                title, n, "with the module" if side == "with"
                else "SOGo alone", figures.seconds(seconds)))
        sheet.put('<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" '
                  'class="span"/>', at["with"], at["without"], sheet.y,
                  sheet.y)
        for side, x in at.items():
            sheet.point(side, x)
            if math.isinf(value(side, n)):
                sheet.beyond(x)
        sheet.y += ROW
    sheet.y += 16


def _wakes(sheet, figures, words):
    sheet.head("Radio wakes of one phone per day: no mail (hollow), 100 mails")
    sheet.axis(WAKES, len(WAYS))
    short = {"module": "with the module", "raised": "SOGo, Pings up to 28 min",
             "shipped": "SOGo as shipped, up to 10 s",
             "scheduled": "a Sync every 5 minutes"}
    for way in WAYS:
        sheet.row(short[way])
        for n in (100, 0):
            wakes = figures.days[way][n].wakes
            sheet.point("with" if way == "module" else "without",
                        WAKES.x(wakes), is_hollow=not n)
            words.append("%s, %d mails a day: %d wakes." % (short[way], n,
                                                            wakes))
        sheet.y += ROW
    sheet.y += 16


def svg(figures):
    """@return the file's text"""
    sheet, words = Sheet(), []
    sheet.y += 8
    sheet.legend([("with", "with mod_directpush"),
                  ("without", "%d SOGo workers alone; arrow: not within %d s"
                   % (WORKERS, figures.bound_s))])
    _times(sheet, figures, "From a mail to the Ping's answer, median",
           figures.latency, words)
    _times(sheet, figures, "A Sync of one more phone, median",
           lambda side, n: figures.request(side, n, "sync"), words)
    _wakes(sheet, figures, words)
    height = sheet.y + 8
    return "\n".join(
        ['<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" '
         'width="%d" height="%d" role="img" aria-labelledby="t d">' % (
             WIDTH, height, WIDTH, height),
         '<title id="t">SOGo alone and behind mod_directpush</title>',
         '<desc id="d">%s</desc>' % escape(" ".join(words)),
         "<style>%s</style>" % STYLE] + sheet.parts + ["</svg>"])
