"""Series and expressions at random, of which Prometheus' opinion can be had.

An expression knows how exact its value is. Prometheus adds up in an order of its own, so sums of fractions differ in
their last digits; what makes a leap of such a difference (a comparison, a rounding, a subtraction) is not built on it.
"""

from __future__ import annotations

from dataclasses import dataclass
from random import Random

from bedplate.declarations import Series

#: Whole numbers; the same operations in the same order; the same but for the last digits.
WHOLE, SAME, ROUGH = 0, 1, 2

_RANGES = "rate increase irate delta idelta changes resets count_over_time last_over_time present_over_time".split()
_RANGES += "min_over_time max_over_time sum_over_time avg_over_time stddev_over_time stdvar_over_time deriv".split()
_LEAPS = "abs ceil floor sgn round sort sort_desc clamp clamp_min clamp_max".split()


@dataclass(frozen=True, slots=True)
class Expr:
    """A text, and how exact its value is."""

    text: str
    exact: int


@dataclass(frozen=True, slots=True)
class Data:
    """Series whose samples are ``interval`` seconds apart, from 0 on for ``samples`` samples."""

    series: tuple[Series, ...]
    interval: int
    samples: int


class Maker:
    """Makes series and expressions from a seed.

    :param edges: whether moments, ranges and offsets may put a sample exactly on the edge of a range; the two dialects
        differ there only.
    """

    def __init__(self, random: Random, *, edges: bool) -> None:
        self.random = random
        self.edges = edges
        self.interval = 15 if not edges else random.choice([10, 15, 30, 60])

    # --- series -------------------------------------------------------------------------------------------------------

    def data(self) -> Data:
        """Return some 30 series."""
        samples = self.random.choice([20, 40, 80])
        series = [
            *(Series(f'c{{job="{job}",i="{i}"}}', self.counter(samples)) for job in "ab" for i in range(3)),
            *(Series(f'd{{job="{job}",i="{i}",v="x"}}', self.counter(samples)) for job in "abc" for i in range(2)),
            *(Series(f'g{{job="{job}",i="{i}"}}', self.gauge(samples)) for job in "ab" for i in range(2)),
            *(Series(f'odd{{job="{job}",k="{job}"}}', self.odd(samples)) for job in "abc"),
            Series('info{job="a",version="1",v="y"}', "1x200"),
            Series('info{job="b",version="2"}', "1x200"),
            Series("lone", self.gauge(samples)),
            Series('empty{job="a"}', "_x5 stale"),
        ]
        for job in "ab":
            series += self.histogram(job, samples)
        return Data(tuple(series), self.interval, samples)

    def counter(self, samples: int) -> str:
        """Return values that rise, are reset, and are missing at times; whole numbers."""
        values: list[str] = []
        value = self.random.choice([0, 0, 5, 1000])
        if self.random.random() < 0.2:
            values += ["_"] * self.random.randrange(samples)
        while len(values) < samples:
            chance = self.random.random()
            if chance < 0.06:
                value = self.random.choice([0, 0, value // 2])
            elif chance < 0.12:
                values += ["_"] * self.random.choice([1, 2, 5, 25])
            elif chance < 0.14:
                values += ["stale", "_"]
            value += self.random.choice([0, 1, 1, 7, 60])
            values.append(str(value))
        return " ".join(values[:samples])

    def gauge(self, samples: int) -> str:
        """Return values that go up and down; whole numbers and quarters, which add up exactly."""
        values = []
        for _ in range(samples):
            chance = self.random.random()
            values.append(
                "_" if chance < 0.05 else "stale" if chance < 0.07 else str(self.random.randrange(-40, 90) / 4)
            )
        return " ".join(values)

    def odd(self, samples: int) -> str:
        """Return values among which are NaN and infinities."""
        choices = ["NaN", "Inf", "-Inf", "0", "1", "-1", "3", "0.5", "_", "stale", "2", "2"]
        run = self.random.choice([choices, ["NaN", "1", "2"], ["Inf", "1", "_"], ["NaN"], ["-Inf", "Inf", "0"]])
        return " ".join(self.random.choice(run) for _ in range(samples))

    def histogram(self, job: str, samples: int) -> list[Series]:
        """Return a classic histogram; some lack +Inf, or a bucket, or fall from one bucket to the next."""
        bounds = ["0.1", "0.5", "1", "2.5", "+Inf"]
        kind = self.random.choice(["good", "good", "good", "no inf", "gap", "falling", "double", "negative", "text"])
        if kind == "no inf":
            bounds.pop()
        if kind == "double":
            bounds.insert(1, "0.10")
        if kind == "negative":
            bounds = ["-1", "-0.5", *bounds]
        if kind == "text":
            bounds.append("none")
        series, least = [], 0
        for bound in bounds:
            step = least + self.random.choice([0, 1, 3])
            least = 0 if kind == "falling" and self.random.random() < 0.5 else step
            values = f"{step}+{step}x{samples // 2} {step}+{step}x{samples // 2}"
            if kind == "gap" and self.random.random() < 0.4:
                values = f"_x{samples // 3} {values}"
            series.append(Series(f'h_bucket{{job="{job}",le="{bound}"}}', values))
        return series

    # --- moments ------------------------------------------------------------------------------------------------------

    def moment(self, data: Data) -> int:
        """Return a moment within the samples or shortly after them."""
        last = data.interval * data.samples + self.random.choice([0, 0, 0, 400])
        if self.edges and self.random.random() < 0.6:
            return self.random.randrange(last // data.interval) * data.interval
        return self.random.randrange(last // 15) * 15 + 7

    def duration(self) -> str:
        """Return a duration for a range."""
        seconds = self.random.choice([1, 2, 3, 4, 5, 8, 20]) * self.interval
        return f"{seconds + (self.random.choice([0, 1, 7]) if self.edges else 0)}s"

    # --- expressions --------------------------------------------------------------------------------------------------

    def matchers(self) -> str:
        """Return conditions for a selector, often none."""
        choices = [
            '{job="a"}',
            '{job!="a"}',
            '{job=~"a|b"}',
            '{job!~"b.*"}',
            '{i="0"}',
            '{none=""}',
            '{i=~"[01]"}',
            "{}",
        ]
        return self.random.choice(choices) if self.random.random() < 0.4 else ""

    def modifiers(self) -> str:
        """Return an offset or a fixed moment, seldom."""
        chance = self.random.random()
        if chance < 0.1:
            return f" offset {self.random.choice(['', '-'])}{self.random.randrange(1, 10) * self.interval}s"
        if chance < 0.13 and self.edges:
            return f" @ {self.random.randrange(0, 1000)}"
        return f" @ {self.random.choice(['start', 'end'])}()" if chance < 0.15 else ""

    def selector(self) -> Expr:
        """Return an instant selector; every metric is of whole numbers but two."""
        name = self.random.choice("c c c d d g g odd odd info info lone none empty h_bucket".split())
        return Expr(name + self.matchers() + self.modifiers(), SAME if name in ("g", "lone", "odd") else WHOLE)

    def windowed(self) -> Expr:
        """Return a function of a range."""
        name = self.random.choice("c c c c d d g g odd odd lone none empty".split())
        function = self.random.choice(_RANGES)
        inner = f"{name}{self.matchers()}[{self.duration()}]{self.modifiers()}"
        if self.edges and self.random.random() < 0.12:
            inner = f"{name}{self.matchers()}[{self.duration()}:{self.random.choice(['', '17s', '30s', '1m'])}]"
        chance = self.random.random()
        if chance < 0.1:
            share = self.random.choice(["0.5", "0", "1", "0.9", "-1", "2", "NaN", "0.3"])
            return Expr(f"quantile_over_time({share}, {inner})", SAME)
        if chance < 0.14:
            return Expr(f"predict_linear({inner}, {self.random.choice([60, -30, 600])})", ROUGH)
        if chance < 0.17:
            return Expr(f"absent_over_time({inner})", WHOLE)
        rough = function in ("avg_over_time", "stddev_over_time", "stdvar_over_time", "deriv")
        whole = function in ("changes", "resets", "count_over_time", "present_over_time") or (
            name in "cd" and function in ("idelta", "last_over_time", "min_over_time", "max_over_time", "sum_over_time")
        )
        return Expr(f"{function}({inner})", ROUGH if rough else WHOLE if whole else SAME)

    def labels(self) -> str:
        """Return a list of labels."""
        return "(" + ", ".join(self.random.sample(["job", "i", "k", "v", "le", "none"], self.random.randrange(4))) + ")"

    def aggregation(self, depth: int) -> Expr:
        """Return an aggregation; topk comes at the top only, where ties can be told."""
        operator = self.random.choice("sum sum avg min max count group stddev stdvar quantile count_values".split())
        inner = self.vector(depth, ROUGH if operator in ("sum", "avg", "count", "group") else SAME)
        grouping = self.random.choice(["", "", "by", "by", "without"])
        grouping = f" {grouping} {self.labels()}" if grouping else ""
        parameter = {
            "quantile": self.random.choice(["0.5, ", "0.1, ", "1, ", "-3, ", "NaN, "]),
            "count_values": '"val", ',
        }
        exact = SAME
        if operator in ("count", "group", "count_values"):
            exact = WHOLE
        elif operator in ("stddev", "stdvar", "avg") or inner.exact == ROUGH or (operator == "sum" and inner.exact):
            exact = ROUGH
        elif operator in ("sum", "min", "max"):
            exact = inner.exact
        if self.random.random() < 0.5:
            return Expr(f"{operator}{grouping} ({parameter.get(operator, '')}{inner.text})", exact)
        return Expr(f"{operator}({parameter.get(operator, '')}{inner.text}){grouping}", exact)

    def ranked(self) -> Expr:
        """Return topk or bottomk."""
        operator, count = self.random.choice(["topk", "bottomk"]), self.random.choice([0, 1, 2, 3, 100])
        return Expr(f"{operator}({count}, {self.vector(1, SAME).text}){self.random.choice(['', ' by (job)'])}", SAME)

    def scalar(self, depth: int) -> Expr:
        """Return a scalar."""
        chance = self.random.random()
        if chance < 0.6 or depth <= 0:
            return Expr(self.random.choice("0 1 2 3 -1 10 0.5 100 Inf NaN -Inf 1e3 0x1f".split()), SAME)
        if chance < 0.7:
            return Expr("time()", WHOLE)
        if chance < 0.85:
            inner = self.vector(depth - 1, SAME)
            return Expr(f"scalar({inner.text})", inner.exact)
        operator = self.random.choice(["+", "*", "/", "-", "> bool", "== bool"])
        return Expr(f"({self.scalar(depth - 1).text} {operator} {self.scalar(depth - 1).text})", SAME)

    def operation(self, depth: int) -> Expr:
        """Return an operator between two vectors, or a vector and a scalar."""
        kind = self.random.choice(["arithmetic", "arithmetic", "comparison", "bool", "set"])
        if kind == "set":
            left, right = self.vector(depth, ROUGH), self.vector(depth, ROUGH)
            operator = self.random.choice(["and", "or", "unless"])
            modifier = self.random.choice(["", f" on {self.labels()}", f" ignoring {self.labels()}"])
            return Expr(f"({left.text} {operator}{modifier} {right.text})", max(left.exact, right.exact))
        operator = self.random.choice(
            "* / * / + - % ^ atan2".split() if kind == "arithmetic" else "== != < <= > >=".split()
        )
        worst = ROUGH if operator in ("*", "/") else SAME
        exact = ROUGH if operator in ("^", "atan2") else SAME
        flag = " bool" if kind == "bool" else ""
        if self.random.random() < 0.45:
            sides = [self.vector(depth, worst), self.scalar(depth)]
            self.random.shuffle(sides)
            return Expr(
                f"({sides[0].text} {operator}{flag} {sides[1].text})", max(exact, sides[0].exact, sides[1].exact)
            )
        left, right = self.vector(depth, worst), self.vector(depth, worst)
        common = ["", " on (job, i)", " ignoring (v)", " ignoring (v, k)", " on (job)"]
        modifier = self.random.choice([*common, f" on {self.labels()}", f" ignoring {self.labels()}"])
        if modifier and self.random.random() < 0.5:
            modifier += self.random.choice([" group_left", " group_right"]) + self.random.choice(
                ["()", "(version)", "(v)"]
            )
        return Expr(f"({left.text} {operator}{flag}{modifier} {right.text})", max(exact, left.exact, right.exact))

    def function(self, depth: int) -> Expr:
        """Return a function of a vector."""
        chance = self.random.random()
        if chance < 0.15:
            share = self.random.choice("0.5 0.9 0 1 -1 2 NaN 0.99 0.25".split())
            ranged = f"rate(h_bucket[{self.duration()}])"
            inner = self.random.choice(["h_bucket", 'h_bucket{job="a"}', "sum by (le) (h_bucket)", ranged])
            return Expr(f"histogram_quantile({share}, {inner})", SAME)
        if chance < 0.25:
            inner = self.vector(depth, ROUGH)
            target = self.random.choice(["new", "job", "i"])
            if self.random.random() < 0.5:
                pattern = self.random.choice(["(.*)", "a(.?)", "(?P<x>.)", "b|c", "q"])
                filling = self.random.choice(["$1", "n-$1", "${x}y", "", "$$", "$2"])
                return Expr(f'label_replace({inner.text}, "{target}", "{filling}", "job", "{pattern}")', inner.exact)
            return Expr(f'label_join({inner.text}, "{target}", "-", "job", "i")', inner.exact)
        if chance < 0.33:
            return Expr(f"absent({self.vector(depth, ROUGH).text})", WHOLE)
        if chance < 0.4:
            return Expr(f"timestamp({self.vector(depth, ROUGH).text})", WHOLE)
        if chance < 0.45:
            return Expr(f"vector({self.scalar(depth).text})", SAME)
        if chance < 0.5:
            inner = self.vector(depth, ROUGH)
            return Expr(
                f"{self.random.choice('exp ln log2 log10 sqrt'.split())}({self.vector(depth, SAME).text})", ROUGH
            )
        if chance < 0.55:
            name = self.random.choice(
                "minute hour day_of_week day_of_month day_of_year days_in_month month year".split()
            )
            return Expr(f"{name}({self.random.choice(['c', 'vector(time() * 86400)', 'd * 10000', ''])})", WHOLE)
        inner, name = self.vector(depth, SAME), self.random.choice(_LEAPS)
        extra = {
            "clamp": f", {self.scalar(0).text}, {self.scalar(0).text}",
            "clamp_min": f", {self.scalar(depth).text}",
            "clamp_max": f", {self.scalar(depth).text}",
            "round": self.random.choice(["", ", 5", ", 0.5", ", 10"]),
        }.get(name, "")
        return Expr(f"{name}({inner.text}{extra})", inner.exact)

    def vector(self, depth: int, worst: int = ROUGH) -> Expr:
        """Return an instant vector that is at least so exact."""
        while True:
            found = self._vector(depth)
            if found.exact <= worst:
                return found

    def _vector(self, depth: int) -> Expr:
        chance = self.random.random()
        if depth <= 0:
            return self.selector() if chance < 0.4 else self.windowed()
        if chance < 0.15:
            return self.selector()
        if chance < 0.37:
            return self.windowed()
        if chance < 0.4 and self.edges:
            inner, function = self.vector(depth - 1, SAME), self.random.choice(_RANGES)
            step = self.random.choice(["", "17s", "30s", "1m"])
            return Expr(f"{function}(({inner.text})[{self.duration()}:{step}])", ROUGH)
        if chance < 0.6:
            return self.aggregation(depth - 1)
        if chance < 0.82:
            return self.operation(depth - 1)
        if chance < 0.85:
            inner = self.vector(depth - 1)
            return Expr(f"{self.random.choice('+-')}{inner.text}", inner.exact)
        return self.function(depth - 1)

    def expression(self) -> str:
        """Return an expression to ask for."""
        chance = self.random.random()
        if chance < 0.05:
            return self.ranked().text
        if chance < 0.08:
            return self.scalar(2).text
        return self.vector(self.random.choice([0, 1, 1, 2, 2, 3])).text
