"""Lists of contacts as people and programs write them, read in pieces of any size."""

from __future__ import annotations

from typing import Any

import pytest
from hamcrest import assert_that, calling, contains_exactly, contains_string, equal_to, has_length, is_, raises
from hypothesis import given
from hypothesis import strategies as st

from dialer.lists.columns import ListError
from dialer.lists.reading import LONGEST_LINE, CsvReader, JsonLinesReader, Reader, Row
from dialer.lists.records import LONGEST

HEADER = b"id,customerNumber,campaignType,gatewayId,campaignId,priority\n"


def read(reader: Reader, data: bytes, size: int = 65_536) -> list[Row]:
    """All rows, of a list that comes in pieces of this size."""
    rows: list[Row | None] = []
    for at in range(0, len(data), size):
        rows.extend(reader.feed(data[at : at + size]))
    rows.extend(reader.end())
    return [row for row in rows if row is not None]


def csv(data: bytes, size: int = 65_536, **options: Any) -> list[Row]:
    return read(CsvReader(options.pop("defaults", {}), required=(), **options), data, size)


def values(rows: list[Row]) -> list[dict[str, Any] | None]:
    return [row.values for row in rows]


# the dialect


@pytest.mark.parametrize("size", [1, 2, 3, 7, 65_536])
@pytest.mark.parametrize("mark", [b"", b"\xef\xbb\xbf"], ids=["plain", "byte order mark"])
@pytest.mark.parametrize("end", [b"\n", b"\r\n", b"\r"], ids=["LF", "CRLF", "CR"])
@pytest.mark.parametrize("delimiter", [b",", b";", b"\t"], ids=["comma", "semicolon", "tab"])
def test_every_delimiter_line_break_and_mark_reads_the_same_in_pieces_of_any_size(
    size: int, mark: bytes, end: bytes, delimiter: bytes
) -> None:
    lines = [b"id,customer number,queueName", b'a,+1,"Sa""les"', b'"b",,"x ; y, z\tw"', b"c,+3,M\xc3\xbcller"]
    text = mark + end.join(
        [
            *(line.replace(b",", delimiter) for line in lines[:2]),
            b'"b"' + delimiter + delimiter + b'"x ; y, z\tw"',
            lines[3].replace(b",", delimiter),
        ]
    )
    assert_that(
        values(csv(text, size)),
        contains_exactly(
            {"id": "a", "customerNumber": "+1", "queueName": 'Sa"les'},
            {"id": "b", "queueName": "x ; y, z\tw"},
            {"id": "c", "customerNumber": "+3", "queueName": "Müller"},
        ),
    )


def test_columns_are_found_whatever_their_case_spaces_and_underscores() -> None:
    header = b"ID;Customer_Number;campaign type;GATEWAY-ID;campaignid;Campaign_Contact_Id;Name of the customer\n"
    (row,) = csv(header + b"a;1;IVR;gw;c;x;Somebody\n")
    assert_that(
        row.values,
        equal_to(
            {
                "id": "a",
                "customerNumber": "1",
                "campaignType": "IVR",
                "gatewayId": "gw",
                "campaignId": "c",
                "campaignContactId": "x",
            }
        ),
    )


def test_a_column_may_be_named_by_whoever_reads_and_then_holds_its_field_alone() -> None:
    (row,) = csv(b"phone,id,customerNumber\n+1,a,+2\n", mapping={"Phone": "customerNumber"})
    assert_that(row.values, equal_to({"customerNumber": "+1", "id": "a"}))


def test_numbers_stay_text_but_a_priority_is_a_number_and_metadata_is_json() -> None:
    (row,) = csv(b'id,customerNumber,priority,schedulingMetadata\n007,0044,3,"{""a"": [1]}"\n')
    expected = {"id": "007", "customerNumber": "0044", "priority": 3, "schedulingMetadata": {"a": [1]}}
    assert_that(row.values, equal_to(expected))


def test_what_is_no_priority_and_no_json_is_left_for_the_rules_to_refuse() -> None:
    (row,) = csv(b"id,priority,schedulingMetadata\na,high,{\n")
    assert_that(row.values, equal_to({"id": "a", "priority": "high", "schedulingMetadata": "{"}))


def test_empty_cells_and_missing_ones_are_given_the_defaults() -> None:
    rows = csv(b"id,campaignId,ivr\na,,\nb,own\nc\n", defaults={"campaignId": "all", "campaignType": "IVR"})
    assert_that(
        values(rows),
        contains_exactly(
            {"campaignType": "IVR", "id": "a", "campaignId": "all"},
            {"campaignType": "IVR", "id": "b", "campaignId": "own"},
            {"campaignType": "IVR", "id": "c", "campaignId": "all"},
        ),
    )


def test_a_cell_that_was_kept_from_being_a_formula_is_read_as_it_was() -> None:
    rows = csv(b"id,campaignContactId\na,'=1\nb,'tis\n")
    assert_that([row.values["campaignContactId"] for row in rows if row.values], contains_exactly("=1", "'tis"))


def test_rows_are_numbered_as_a_spreadsheet_shows_them() -> None:
    rows = csv(b'id,ivr,notes\na,1,"two\nlines"\n\nb,2,\n')
    assert_that([(row.number, row.values["id"]) for row in rows if row.values], contains_exactly((2, "a"), (4, "b")))


# what is wrong with a row


def problems(rows: list[Row]) -> list[tuple[int, str | None]]:
    return [(row.number, row.problem) for row in rows]


@pytest.mark.parametrize("size", [5, 65_536])
def test_a_broken_row_does_not_stop_the_rest(size: int) -> None:
    rows = csv(b'id,ivr\na,"1"2\nb,3,more\nc,4\n', size)
    assert_that(
        problems(rows),
        contains_exactly(
            (2, "the row is not CSV: ',' expected after '\"'"),
            (3, "the row has more cells than the header, which has 2"),
            (4, None),
        ),
    )


@pytest.mark.parametrize("size", [5, 1000, 65_536])
def test_a_quote_that_is_never_closed_costs_its_own_row(size: int) -> None:
    rows = csv(b'id,ivr\na,"1\nb,2\nc,3\n', size)
    assert_that(problems(rows), contains_exactly((2, "a quote is not closed"), (3, None), (4, None)))


def test_a_quote_that_is_not_closed_within_the_greatest_length_costs_its_own_row() -> None:
    many = LONGEST // 100
    rows = csv(b'id,ivr\na,"1\n' + (b"b," + b"2" * 100 + b"\n") * many, 65_536)
    assert_that(rows, has_length(many + 1))
    assert_that((rows[0].problem, {row.problem for row in rows[1:]}), equal_to(("a quote is not closed", {None})))


@pytest.mark.parametrize("before", [b"", b'x,"y\n'], ids=["alone", "in quotes"])
def test_a_row_that_is_too_long_is_not_kept(before: bytes) -> None:
    reader = CsvReader({}, required=())
    rows = list(reader.feed(b"id,ivr\n" + before))
    for _ in range(40):
        rows += reader.feed(b"a" * 65_536)
        assert_that(len(reader._records._rest) <= LONGEST + 65_536, is_(True))
    rows += [*reader.feed(b"\nb,2\n"), *reader.end()]
    found = [row for row in rows if row is not None]
    assert_that(found[-2].problem, equal_to(f"the row is longer than {LONGEST} characters"))
    assert_that(found[-1].values, equal_to({"id": "b", "ivr": "2"}))


def test_what_is_no_utf_8_stands_out_and_harms_no_other_row() -> None:
    rows = csv(b"id,queueName,name\na,M\xfcller,x\nb,Sales,M\xfcller\n")
    first, second = values(rows)
    assert first
    assert_that(first["queueName"], equal_to("M\udcfcller"))
    assert_that(second, equal_to({"id": "b", "queueName": "Sales"}))


@given(st.lists(st.binary(max_size=60), max_size=8))
def test_any_bytes_after_a_header_give_rows_or_problems(pieces: list[bytes]) -> None:
    reader = CsvReader({}, required=())
    rows = list(reader.feed(HEADER))
    for piece in pieces:
        rows += reader.feed(piece)
    rows += reader.end()
    whole = csv(HEADER + b"".join(pieces))
    assert_that([row for row in rows if row is not None], equal_to(whole))
    assert_that(all((row.values is None) is (row.problem is not None) for row in whole), is_(True))


# what is wrong with the whole


@pytest.mark.parametrize(
    ("data", "message", "field"),
    [
        (b"", "the list is empty", None),
        (b"\n\n", "the list is empty", None),
        (b"a,b,c\n1,2,3\n", "the first line must name the columns; none of them", None),
        (
            b"id,Customer Number,customer_number\n",
            "two columns hold customerNumber: 'Customer Number' and",
            "customerNumber",
        ),
        (b"customerNumber,campaignType,gatewayId,campaignId\n", "there is no column for id", "id"),
        (b"\xff\xfei\x00d\x00", "in UTF-16", None),
        (b'"id\n', "the first line must name the columns: a quote is not closed", None),
    ],
)
def test_a_list_without_a_usable_header_is_refused(data: bytes, message: str, field: str | None) -> None:
    with pytest.raises(ListError) as refused:
        read(CsvReader({}), data)
    assert_that(str(refused.value), contains_string(message))
    assert_that(refused.value.field, equal_to(field))


def test_a_column_that_is_mapped_must_be_there() -> None:
    assert_that(calling(csv).with_args(b"id\n", mapping={"phone": "customerNumber"}), raises(ListError, "'phone'"))


def test_a_column_that_every_row_lacks_may_be_given_by_default() -> None:
    defaults = {"campaignType": "IVR", "gatewayId": "g", "campaignId": "c"}
    (row,) = read(CsvReader(defaults), b"id,customerNumber\na,1\n")
    assert_that(row.values, equal_to({**defaults, "id": "a", "customerNumber": "1"}))


# JSON lines


@pytest.mark.parametrize("size", [1, 4, 65_536])
def test_json_lines_are_read_each_for_itself(size: int) -> None:
    data = b'\xef\xbb\xbf{"id": "a"}\r\n\n{"id": \n["b"]\n{"id": "c", "campaign_id": "own", "campaignType": null}'
    rows = read(JsonLinesReader({"campaignId": "all", "campaignType": "IVR"}), data, size)
    assert_that([row.number for row in rows], contains_exactly(1, 3, 4, 5))
    assert_that(rows[0].values, equal_to({"id": "a", "campaignId": "all", "campaignType": "IVR"}))
    assert_that(rows[1].problem, contains_string("the line is not JSON in UTF-8: "))
    assert_that(rows[2].problem, equal_to("the line must be an object: one contact"))
    assert_that(rows[3].values, equal_to({"id": "c", "campaign_id": "own", "campaignType": "IVR"}))


def test_a_line_that_is_too_long_is_not_kept() -> None:
    reader = JsonLinesReader({})
    rows: list[Row | None] = []
    for _ in range(40):
        rows += reader.feed(b"x" * 65_536)
        assert_that(len(reader._rest) <= LONGEST_LINE, is_(True))
    rows += [*reader.feed(b'\n{"id": "a"}\n'), *reader.end()]
    found = [(row.number, row.values, row.problem) for row in rows if row]
    problem = f"the line is longer than {LONGEST_LINE} bytes"
    assert_that(found, contains_exactly((1, None, problem), (2, {"id": "a"}, None)))
