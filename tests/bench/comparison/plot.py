"""The figures as one SVG. Circles are with the module, squares without."""
import math

from common.drawing import ROW, Scale, Sheet

from .report import WAYS, WORKERS

TIMES = Scale([(0.0001, "0.1 ms"), (0.001, "1 ms"), (0.01, "10 ms"),
               (0.1, "0.1 s"), (1, "1 s"), (10, "10 s"), (100, "100 s")])
WAKES = Scale([(10, "10"), (100, "100"), (1000, "1,000"), (10000, "10,000")])


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
        sheet.span(at["with"], at["without"])
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
    return sheet.svg("SOGo alone and behind mod_directpush", words)
