"""Telling what goes on."""
import sys
import time


def say(text):
    sys.stderr.write("%s %s\n" % (time.strftime("%H:%M:%S"), text))
    sys.stderr.flush()
