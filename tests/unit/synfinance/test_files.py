from __future__ import annotations

import gzip
import os
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from synfinance.files import BadFile, load_table, open_table, read_table
from synfinance.text_types import temporal, typed


def _write(folder: Path, content: bytes | str, name: str = "table.csv") -> Path:
    path = folder / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


@pytest.mark.parametrize(
    "content",
    [
        "a,b\n1,x\n2,y\n",
        "a;b\n1;x\n2;y\n",
        "a\tb\n1\tx\n2\ty",
        "a|b\r\n1|x\r\n2|y\r\n",
        "a,b\r1,x\r2,y\r",
        '"a","b"\n"1","x"\n"2","y"\n',
        "\ufeffa,b\n1,x\n2,y\n",
        "a,b\n1,x\n2,y\n".encode("utf-16"),
        gzip.compress(b"a,b\n1,x\n2,y\n", mtime=0),
    ],
)
def test_one_table_written_in_many_ways(tmp_path: Path, content: bytes | str) -> None:
    frame = load_table(_write(tmp_path, content, "any.name"))
    assert frame.rows() == [(1, "x"), (2, "y")]
    assert frame.columns == ["a", "b"]


def test_a_parquet_file_is_known_by_its_content(tmp_path: Path) -> None:
    frame = pl.DataFrame({
        "kind": pl.Series(["a", "b"], dtype=pl.Enum(["a", "b"])),
        "paid": [Decimal("1.50"), Decimal("2.25")],
        "when": [date(2025, 1, 1), None],
    })  # fmt: skip
    frame.write_parquet(tmp_path / "table.csv")
    assert load_table(tmp_path / "table.csv").rows() == [("a", 1.5, date(2025, 1, 1)), ("b", 2.25, None)]


def test_columns_get_the_type_that_all_values_have(tmp_path: Path) -> None:
    def line(row: int) -> str:
        late, flag = (row if row < 900 else "x"), ("true" if row % 2 else "False")
        day, moment = f"2025-02-{row % 28 + 1:02d}", f"2025-01-01 10:00:{row % 60:02d}"
        return f'{row:04d},{row},{late},{row / 4},{flag},{day},{moment},,"1.{row % 1000:03d},50"'

    lines = "\n".join(["id,n,late,f,flag,day,when,nothing,euro", *map(line, range(1_000))])
    frame = load_table(_write(tmp_path, lines))
    assert frame.schema == {
        "id": pl.String,
        "n": pl.Int64,
        "late": pl.String,
        "f": pl.Float64,
        "flag": pl.Boolean,
        "day": pl.Date,
        "when": pl.Datetime("us"),
        "nothing": pl.String,
        "euro": pl.Float64,
    }
    assert frame["nothing"].null_count() == 1_000
    assert frame["euro"][7] == 1007.5
    assert frame["flag"][:2].to_list() == [False, True]


@pytest.mark.parametrize(
    ("texts", "values"),
    [
        (["1", "N/A", "3"], [1, None, 3]),
        (["1.5", "-", "nan"], [1.5, None, None]),
        (["1,234.50", "2"], [1234.5, 2.0]),
        (["£3", "£1,000"], [3.0, 1000.0]),
        (["007", "12"], ["007", "12"]),
        (["1e3", "2"], [1000.0, 2.0]),
        (["25/12/2024", "01/02/2025"], [date(2024, 12, 25), date(2025, 2, 1)]),
        (["12/25/2024", "01/02/2025"], [date(2024, 12, 25), date(2025, 1, 2)]),
        (["2025-01-01T10:00:00+02:00"], [datetime(2025, 1, 1, 8)]),  # noqa: DTZ001
        (["2025-01-01", "not known"], ["2025-01-01", "not known"]),
        (["99999999999999999999"], [1e20]),
        (["", None], ["", None]),
    ],
)
def test_types_of_texts(texts: list[str | None], values: list[object]) -> None:
    assert typed(pl.Series(texts, dtype=pl.String)).to_list() == values


def test_times_may_have_a_few_strays() -> None:
    mostly = pl.Series(["2025-01-01"] * 98 + ["?", "soon"])
    assert temporal(mostly) is None
    parsed = temporal(mostly, agreement=0.95)
    assert parsed is not None
    assert parsed.null_count() == 2
    assert temporal(pl.Series(["a", "b"]), agreement=0.95) is None
    assert temporal(pl.Series([1, 2])) is None


@settings(max_examples=40)
@given(st.lists(st.one_of(st.integers().map(str), st.floats().map(str), st.text(max_size=8), st.none()), max_size=12))
def test_typing_never_fails_and_never_loses_a_text(texts: list[str | None]) -> None:
    column = pl.Series(texts, dtype=pl.String)
    result = typed(column)
    assert len(result) == len(column)
    if result.dtype == pl.String:
        assert result.equals(column)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"", "the file is empty"),
        (b" \n\n", "the file is empty"),
        (b"a,b\n", "column names but no rows"),
        (b"a,b\n1,\x002\n", "binary"),
        (b'{"a": 1}\n{"a": 2}\n', "JSON"),
        (b'[{"a": 1}]', "JSON"),
        (b"<!DOCTYPE html><html>", "HTML"),
        (b"PK\x03\x04" + b"\0" * 40, "Excel workbook"),
        (b"%PDF-1.7 ...", "a PDF document"),
        (b"SQLite format 3\0", "an SQLite database"),
        (b"PAR1 and then nothing", "damaged or cut off"),
        (gzip.compress(b"a,b\n" + os.urandom(4_000).hex().encode())[:-300], "gzip archive is damaged or cut off"),
        (b"a" * 3_000_000, "no line ends within the first"),
    ],
)
def test_what_is_no_table_is_refused_in_one_line(tmp_path: Path, content: bytes, told: str) -> None:
    path = _write(tmp_path, content)
    with pytest.raises(BadFile, match=told) as caught:
        read_table(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


def test_what_is_no_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadFile, match="no such file"):
        read_table(tmp_path / "nothing.csv")
    with pytest.raises(BadFile, match="this is a directory"):
        read_table(tmp_path)
    with pytest.raises(BadFile, match="not a regular file"):
        read_table("/dev/null")
    with pytest.raises(BadFile, match="cannot be read"):
        read_table("a\0b")
    with pytest.raises(BadFile, match=r"cannot be read|no such file"):
        read_table("x" * 5_000)


def test_a_file_without_permission_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = _write(tmp_path, "a\n1\n")

    def denied(*args: object, **kwargs: object) -> None:
        raise PermissionError

    monkeypatch.setattr(Path, "open", denied)
    with pytest.raises(BadFile, match="no permission"):
        read_table(path)


@settings(max_examples=30)
@given(cut=st.floats(0.05, 0.99), flips=st.lists(st.tuples(st.floats(0, 0.999), st.integers(1, 255)), max_size=20))
def test_a_damaged_parquet_file_is_refused_or_read(
    tmp_path_factory: pytest.TempPathFactory, cut: float, flips: list[tuple[float, int]]
) -> None:
    path = tmp_path_factory.mktemp("damage") / "t.parquet"
    pl.DataFrame({"a": range(500), "b": [f"v{row % 17}" for row in range(500)]}).write_parquet(path)
    data = bytearray(path.read_bytes())
    for place, change in flips:
        data[int(place * len(data))] ^= change
    path.write_bytes(data if flips else data[: int(cut * len(data))])
    try:
        read_table(path)
    except BadFile as error:
        assert "\n" not in str(error)


def test_untidy_lines_are_read_and_said(tmp_path: Path) -> None:
    long = read_table(_write(tmp_path, "a,b\n1,2\n3,4,5\n6\n"))
    assert long.frame.rows() == [(1, 2), (3, 4), (6, None)]
    assert "more fields than the header" in long.notes[0]
    quoted = read_table(_write(tmp_path, 'a,b\n5" nails,2\n3,4\n'))
    assert quoted.frame["a"].to_list() == ['5" nails', "3"]
    assert "quotes are unbalanced" in quoted.notes[0]
    cut = read_table(_write(tmp_path, "a,b,c\n1,2,3\n4,5"))
    assert "may be cut off" in cut.notes[0]
    foreign = read_table(_write(tmp_path, "a,b\nGrün,1\n".encode("cp1252")))
    assert foreign.frame["a"][0] == "Grün"
    assert "not UTF-8" in foreign.notes[0]
    headless = read_table(_write(tmp_path, "2025-01-01,4.5,x\n2025-01-02,3.5,y\n"))
    assert headless.frame.height == 2
    assert "values, not names" in headless.notes[0]
    years = load_table(_write(tmp_path, "country,2023,2024\nFrance,1,2\n"))
    assert years.columns == ["country", "2023", "2024"]


def test_a_line_break_in_a_quoted_field_is_no_new_row(tmp_path: Path) -> None:
    assert load_table(_write(tmp_path, 'a,b\n"one\ntwo",2\n')).rows() == [("one\ntwo", 2)]


@pytest.mark.parametrize("name", ["table.csv", "table.parquet"])
def test_a_long_file_is_sampled_and_says_so(tmp_path: Path, name: str) -> None:
    frame = pl.DataFrame({"row": range(10_000), "text": [f"t{row}" for row in range(10_000)]})
    path = tmp_path / name
    frame.write_csv(path) if name.endswith("csv") else frame.write_parquet(path)
    spread = read_table(path, max_rows=100)
    assert spread.sampled
    assert spread.rows == 10_000
    assert spread.frame["row"].to_list() == list(range(0, 10_000, 100))
    assert "10,000 rows; 100 spread evenly" in spread.notes[0]
    tail = read_table(path, max_rows=100, sample="tail")
    assert tail.frame["row"].to_list() == list(range(9_900, 10_000))
    assert not read_table(path).sampled
    with pytest.raises(ValueError, match="max_rows"):
        read_table(path, max_rows=0)


@pytest.mark.parametrize("name", ["table.csv", "table.parquet"])
def test_ranges_of_rows_are_read_typed_and_raw(tmp_path: Path, name: str) -> None:
    frame = pl.DataFrame({"row": range(1_000), "when": [date(2025, 1, 1)] * 1_000})
    path = tmp_path / name
    frame.write_csv(path) if name.endswith("csv") else frame.write_parquet(path)
    with open_table(path) as source:
        assert source.columns == ("row", "when")
        assert source.between(990, 2_000).equals(frame.slice(990))
        raw = source.raw_between(0, 2)
        assert raw["row"].to_list() == (["0", "1"] if name.endswith("csv") else [0, 1])


def test_names_like_patterns_and_partitions_are_plain_names(tmp_path: Path) -> None:
    folder = tmp_path / "year=2025"
    folder.mkdir()
    pl.DataFrame({"a": [1]}).write_parquet(folder / "b*[c].parquet")
    assert load_table(folder / "b*[c].parquet").columns == ["a"]
    assert load_table(_write(folder, "a\n1\n", "b?.csv")).columns == ["a"]


def test_prose_is_no_table_unless_it_is_called_one(tmp_path: Path) -> None:
    prose = (
        "# A title\n\nSome words, and more words.\nNo comma here\nOne, two, three, four\n- a list\n- of things, say\n"
    )
    (tmp_path / "readme.md").write_text(prose)
    (tmp_path / "passwd").write_text("root:x:0:0\nbin:x:1:1\n" * 20)
    (tmp_path / "names.csv").write_text("name\nanna\nben\ncleo\n")
    for wrong in ("readme.md", "passwd"):
        with pytest.raises(BadFile, match=r"does not look like a table.*name it \.csv"):
            load_table(tmp_path / wrong)
    assert load_table(tmp_path / "names.csv").height == 3
