"""How far a long command is: a bar on a terminal, lines in a log."""

import sys
import time

WIDTH = 24


def duration(seconds):
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{seconds:02}" if hours else f"{minutes}:{seconds:02}"


class Progress:
    def __init__(self, total, out=None, clock=time.monotonic):
        self.total, self.out, self.clock = total, out or sys.stderr, clock
        self.done = 0
        self.what = ""
        self.began = self.step_began = clock()
        self.measured = 0.0  # seconds that the steps took that are done
        self.on_terminal = self.out.isatty()

    def begin(self, what):
        self.what, self.step_began = what, self.clock()
        self.tick()

    def tick(self):
        if self.on_terminal:
            self.out.write(f"\r\x1b[K{self.bar()}")
            self.out.flush()

    def end(self, words):
        """One step is done; in a log `words` say what came of it."""
        self.done += 1
        self.step_began = self.clock()
        self.measured = self.step_began - self.began
        if self.on_terminal:
            self.tick()
        else:
            self.out.write(f"bench: {self.done} of {self.total}: {self.what}: {words}; "
                           f"{self.left()}\n")
            self.out.flush()

    def close(self):
        if self.on_terminal:
            self.out.write("\n")

    def bar(self):
        full = round(WIDTH * min(1.0, self.done / max(self.total, 1)))
        return (f"[{'#' * full}{'.' * (WIDTH - full)}] {self.done}/{self.total} {self.what}, "
                f"{self.left()}")

    def left(self):
        """An estimate: what is to come takes as long as what is done."""
        if self.done == 0:
            return f"{duration(self.clock() - self.began)} so far"
        if self.done >= self.total:
            return f"took {duration(self.measured)}"
        each = self.measured / self.done
        spent = min(each, self.clock() - self.step_began)
        return f"about {duration((self.total - self.done) * each - spent)} left"
