"""Files as brokers write them, each with the trades that it must give."""

# ruff: noqa: E501 - lines are as brokers write them

from __future__ import annotations

from decimal import Decimal

import pytest

from tradesense.importing import PRESETS, BadFile, BadMapping, Mapping, column, decode, detect, read
from tradesense.samples import generic_csv, made_up

FLEX = """\
"ClientAccountID","CurrencyPrimary","AssetClass","Symbol","DateTime","Quantity","TradePrice","IBCommission","IBCommissionCurrency","Buy/Sell","TradeID","Multiplier","LevelOfDetail"
"U123","USD","STK","AAPL","20250106;103000","100","185.5","-1.05","USD","BUY","71","1","EXECUTION"
"U123","USD","STK","AAPL","20250106;103000","100","185.5","-1.05","USD","BUY","","1","ORDER"
"U123","USD","OPT","AAPL 250117C00190000","20250106;110000","-2","3.1","-1.3","USD","SELL","72","100","EXECUTION"
"U123","USD","CASH","EUR.USD","20250106;110000","-200","1.03","-2","USD","SELL","73","1","EXECUTION"
"U123","EUR","STK","SAP","20250107;050000","10","240","-3","EUR","BUY","74","1","EXECUTION"
"""
ACTIVITY = """\
Statement,Header,Field Name,Field Value
Statement,Data,Title,Activity Statement
Deposits & Withdrawals,Header,Currency,Settle Date,Description,Amount
Deposits & Withdrawals,Data,USD,2025-01-02,Electronic Fund Transfer,10000
Trades,Header,DataDiscriminator,Asset Category,Currency,Symbol,Date/Time,Quantity,T. Price,C. Price,Proceeds,Comm/Fee,Basis,Realized P/L,MTM P/L,Code
Trades,Data,Order,Stocks,USD,AAPL,"2025-01-06, 10:30:00",100,185.5,186,-18550,-1,18551,0,50,O
Trades,Data,Order,Stocks,USD,AAPL,"2025-01-07, 10:30:00","-1,000",190.25,191,190250,-1.5,-18551,471.5,0,C
Trades,SubTotal,,Stocks,USD,AAPL,,0,,,475,-2.5,0,471.5,50,
Trades,Total,,Stocks,USD,,,,,,475,-2.5,0,471.5,50,
Trades,Header,DataDiscriminator,Asset Category,Currency,Symbol,Date/Time,Quantity,T. Price,,Proceeds,Comm/Fee,,,MTM P/L,Code
Trades,Data,Order,Equity and Index Options,USD,AAPL 17JAN25 190 C,"2025-01-07, 10:31:00",2,3.10,,-620,-1.3,,,0,O
"""
SCHWAB = """\
"Transactions  for account Individual ...123 as of 01/31/2025 10:00:00 ET"
"Date","Action","Symbol","Description","Quantity","Price","Fees & Comm","Amount"
"01/08/2025","Sell","AAPL","APPLE INC","50","$190.00","$0.03","$9,499.97"
"01/07/2025 as of 01/06/2025","Qualified Dividend","MSFT","MICROSOFT","","","","$7.50"
"01/06/2025","Buy","AAPL","APPLE INC","100","$185.50","","-$18,550.00"
"01/06/2025","MoneyLink Transfer","","Tfr BANK","","","","-$250.00"
"01/05/2025","Stock Split","NVDA","NVIDIA","90","","",""
"01/03/2025","Buy to Open","AAPL 01/17/2025 190.00 C","CALL APPLE","2","$3.10","$1.32","-$621.32"
"01/02/2025","Journal","","","","","","$10.00"
"Transactions Total","","","","","","","$-9,000.00"
"""
FIDELITY = """\


Run Date,Action,Symbol,Description,Type,Quantity,Price ($),Commission ($),Fees ($),Accrued Interest ($),Amount ($),Settlement Date
01/06/2025,"YOU BOUGHT APPLE INC (AAPL) (Cash)", AAPL," APPLE INC",Cash,100,185.5,,,,-18550,01/07/2025
01/08/2025,"YOU SOLD APPLE INC (AAPL) (Cash)", AAPL," APPLE INC",Cash,-50,190,4.95,0.21,,9494.84,01/09/2025
01/09/2025,"DIVIDEND RECEIVED MICROSOFT (MSFT) (Cash)", MSFT,MICROSOFT,Cash,,,,,,7.5,
01/10/2025,"Electronic Funds Transfer Received (Cash)", ," No Description",Cash,,,,,,1000,

"The data and information in this spreadsheet is provided to you solely for your use"
"""
ROBINHOOD = """\
"Activity Date","Process Date","Settle Date","Instrument","Description","Trans Code","Quantity","Price","Amount"
"1/8/2025","1/8/2025","1/9/2025","AAPL","Apple
CUSIP: 037833100","Sell","50","$190.00","$9,499.92"
"1/6/2025","1/6/2025","1/7/2025","AAPL","Apple","Buy","100","$185.50","($18,550.00)"
"1/6/2025","1/6/2025","1/7/2025","AAPL","AAPL 1/17/2025 Call $190.00","BTO","2","$3.10","($620.08)"
"1/3/2025","1/3/2025","1/3/2025","","ACH Deposit","ACH","","","$1,000.00"
"1/3/2025","1/3/2025","1/3/2025","","ACH Withdrawal","ACH","","","($40.00)"
"","","","","","","","",""
"","","","","","","","","","The data provided is for informational purposes only."
"""
TRADING_212 = """\
Action,Time,ISIN,Ticker,Name,Notes,ID,No. of shares,Price / share,Currency (Price / share),Exchange rate,Result,Currency (Result),Total,Currency (Total),Currency conversion fee,Currency (Currency conversion fee),Stamp duty reserve tax,Currency (Stamp duty reserve tax)
Deposit,2025-01-02 09:00:00.123,,,,Bank transfer,dep-1,,,,,,,500.00,GBP,,,,
Market buy,2025-01-06 14:30:00.456,US0378331005,AAPL,Apple,,EOF1,2.5000000000,185.50,USD,1.25,,,371.56,GBP,0.56,GBP,,
Limit buy,2025-01-07 09:30:00,GB0001,VOD,Vodafone,,EOF2,100.0000000000,70.20,GBX,100.00,,,70.55,GBP,,,0.35,GBP
Dividend (Ordinary),2025-01-09 10:00:00,US0378331005,AAPL,Apple,,,2.5000000000,0.25,USD,Not available,,,0.50,GBP,,,,
Market sell,2025-01-10 14:30:00,US0378331005,AAPL,Apple,,EOF3,1.0,190,USD,Not available,1,GBP,152,GBP,0.2,GBP,,
"""
DEGIRO = """\
Date,Time,Product,ISIN,Reference exchange,Venue,Quantity,Price,,Local value,,Value,,Exchange rate,Transaction and/or third,,Total,,Order ID
07-01-2025,16:00,APPLE,US0378331005,NDQ,XNAS,-5,190.0000,USD,950.00,USD,922.00,EUR,1.0300,-2.00,EUR,920.00,EUR,o-2
06-01-2025,15:30,APPLE,US0378331005,NDQ,XNAS,10,185.5000,USD,-1855.00,USD,-1800.97,EUR,1.0300,-2.00,EUR,-1802.97,EUR,o-1
06-01-2025,15:30,APPLE,US0378331005,NDQ,XNAS,10,185.5000,USD,-1855.00,USD,-1800.97,EUR,1.0300,,EUR,-1800.97,EUR,o-1
"""
DEGIRO_NL = """\
Datum,Tijd,Product,ISIN,Beurs,Uitvoeringsplaats,Aantal,Koers,,Lokale waarde,,Waarde,,Wisselkoers,Transactiekosten en/of,,Totaal,,Order ID
06-01-2025,09:30,ASML,NL0010273215,EAM,XAMS,3,"702,40",EUR,"-2107,20",EUR,"-2107,20",EUR,,"-3,00",EUR,"-2110,20",EUR,o-9
"""
GENERIC = "Date;Side;Ticker;Qty;Price;Fee;Ccy;Tags\n2025-01-06 15:30;Buy;sap;10;240,50;1,20;EUR;Swing, news\n"

#: Broker, file, then (kind, symbol, quantity, price, fee, currency, when, id) of each trade; and lines with faults.
FILES = {
    "ibkr-flex": (FLEX, [
        ("buy", "AAPL", "100", "185.5", "1.05", "USD", "2025-01-06T15:30:00", "71"),
        ("sell", "AAPL 250117C00190000", "2", "3.1", "1.3", "USD", "2025-01-06T16:00:00", "72"),
        ("buy", "SAP", "10", "240", "3", "EUR", "2025-01-07T10:00:00", "74"),
    ], []),
    "ibkr-activity": (ACTIVITY, [
        ("buy", "AAPL", "100", "185.5", "1", "USD", "2025-01-06T15:30:00", ""),
        ("sell", "AAPL", "1000", "190.25", "1.5", "USD", "2025-01-07T15:30:00", ""),
        ("buy", "AAPL 17JAN25 190 C", "2", "3.1", "1.3", "USD", "2025-01-07T15:31:00", ""),
    ], []),
    "schwab": (SCHWAB, [
        ("buy", "AAPL 01/17/2025 190.00 C", "2", "3.1", "1.32", "USD", "2025-01-03T05:00:00", ""),
        ("withdrawal", "", "1", "250", "0", "USD", "2025-01-06T05:00:00", ""),
        ("buy", "AAPL", "100", "185.5", "0", "USD", "2025-01-06T05:00:00", ""),
        ("dividend", "MSFT", "1", "7.5", "0", "USD", "2025-01-07T05:00:00", ""),
        ("sell", "AAPL", "50", "190", "0.03", "USD", "2025-01-08T05:00:00", ""),
    ], [7]),
    "fidelity": (FIDELITY, [
        ("buy", "AAPL", "100", "185.5", "0", "USD", "2025-01-06T05:00:00", ""),
        ("sell", "AAPL", "50", "190", "5.16", "USD", "2025-01-08T05:00:00", ""),
        ("dividend", "MSFT", "1", "7.5", "0", "USD", "2025-01-09T05:00:00", ""),
        ("deposit", "", "1", "1000", "0", "USD", "2025-01-10T05:00:00", ""),
    ], []),
    "robinhood": (ROBINHOOD, [
        ("withdrawal", "", "1", "40", "0", "USD", "2025-01-03T05:00:00", ""),
        ("deposit", "", "1", "1000", "0", "USD", "2025-01-03T05:00:00", ""),
        ("buy", "AAPL", "2", "3.1", "0.08", "USD", "2025-01-06T05:00:00", ""),
        ("buy", "AAPL", "100", "185.5", "0", "USD", "2025-01-06T05:00:00", ""),
        ("sell", "AAPL", "50", "190", "0.08", "USD", "2025-01-08T05:00:00", ""),
    ], []),
    "trading212": (TRADING_212, [
        ("deposit", "", "1", "500", "0", "GBP", "2025-01-02T09:00:00.123000", "dep-1"),
        ("buy", "AAPL", "2.5", "185.5", "0.7", "USD", "2025-01-06T14:30:00.456000", "EOF1"),
        ("buy", "VOD", "100", "0.702", "0.35", "GBP", "2025-01-07T09:30:00", "EOF2"),
        ("dividend", "AAPL", "1", "0.5", "0", "GBP", "2025-01-09T10:00:00", ""),
    ], [6]),
    "degiro": (DEGIRO, [
        ("buy", "US0378331005", "10", "185.5", "0", "USD", "2025-01-06T14:30:00", ""),
        ("buy", "US0378331005", "10", "185.5", "2.06", "USD", "2025-01-06T14:30:00", ""),
        ("sell", "US0378331005", "5", "190", "2.06", "USD", "2025-01-07T15:00:00", ""),
    ], []),
    "degiro-nl": (DEGIRO_NL, [
        ("buy", "NL0010273215", "3", "702.4", "3", "EUR", "2025-01-06T08:30:00", ""),
    ], []),
    "generic": (GENERIC, [("buy", "SAP", "10", "240.5", "1.2", "EUR", "2025-01-06T15:30:00", "")], []),
}  # fmt: skip


@pytest.mark.parametrize("broker", FILES)
def test_a_brokers_file_is_recognised_and_read(broker: str) -> None:
    text, trades, bad = FILES[broker]
    reading = read(text)
    assert reading.mapping.broker == broker
    told = [
        (one.kind, one.symbol, one.quantity, one.price, one.fee, one.currency, one.at.isoformat()[:-6], one.broker_id)
        for one in reading.trades
    ]
    assert told == [
        (kind, symbol, Decimal(quantity), Decimal(price), Decimal(fee), currency, at, key)
        for kind, symbol, quantity, price, fee, currency, at, key in trades
    ]
    assert [fault.line for fault in reading.faults] == bad
    assert all(fault.what and fault.mend for fault in reading.faults)


def test_there_is_a_file_here_for_every_preset() -> None:
    assert set(FILES) == set(PRESETS)


@pytest.mark.parametrize("broker", ["ibkr-flex", "ibkr-activity", "schwab", "robinhood"])
def test_options_are_of_a_hundred(broker: str) -> None:
    multipliers = {one.multiplier for one in read(FILES[broker][0]).trades}
    assert multipliers == {Decimal(1), Decimal(100)}


def test_the_account_and_tags_are_kept() -> None:
    assert {one.account for one in read(FLEX).trades} == {"U123"}
    assert {one.account for one in read(SCHWAB, account="mine").trades} == {"mine"}
    assert read(GENERIC).trades[0].tags == ("swing", "news")


def test_a_bad_line_is_named_with_what_to_do_and_costs_the_others_nothing() -> None:
    text = (
        "Date,Side,Symbol,Quantity,Price\n2025-01-06,buy,X,10,5\n2025-01-06,buy,X,ten,5\n31/01/2025,buy,X,1,5\n"
        "2025-01-07,gift,X,1,5\n2025-01-07,buy,,1,5\n2025-01-07,buy,X,0,5\n2025-01-07,sell,X,10,\n2025-01-08,sell,X,10,6\n"
    )
    reading = read(text)
    assert [one.kind for one in reading.trades] == ["buy", "sell"]
    assert reading.lines == (2, 9)
    assert [(fault.line, fault.column) for fault in reading.faults] == [
        (3, "Quantity"), (4, "Date"), (5, "Side"), (6, "Symbol"), (7, "Quantity"), (8, "Price"),
    ]  # fmt: skip
    assert "ten" in reading.faults[0].what and "1234.56" in reading.faults[0].mend
    assert "gift" in reading.faults[2].what


def test_lines_are_counted_as_an_editor_does_also_after_a_cell_of_two_lines() -> None:
    reading = read('Date,Side,Symbol,Quantity,Price,Note\n2025-01-06,buy,X,1,5,"two\nlines"\n\n2025-01-07,buy,X,?,5,\n')
    assert reading.lines == (2,)
    assert [fault.line for fault in reading.faults] == [5]


def test_a_file_of_nobody_says_which_columns_it_has() -> None:
    with pytest.raises(BadFile) as caught:
        detect("Wann,Was\nheute,nichts\n")
    assert "Wann, Was" in caught.value.what and "generic" in caught.value.mend
    with pytest.raises(BadFile, match="Schwab"):
        read("Wann,Was\n1,2\n", PRESETS["schwab"])
    with pytest.raises(BadFile):
        read("")


def test_a_mapping_of_ones_own_reads_any_columns() -> None:
    mapping = Mapping(
        broker="mine", title="My bank",
        fields={"at": column("Wann"), "kind": column("Was"), "symbol": column("Wertpapier"), "quantity": column("Stück"),
                "price": column("Kurs")},
        kinds={"kauf": "buy", "verkauf": "sell"}, times=("%d.%m.%Y",), zone="Europe/Berlin", currency="EUR", point=",",
    )  # fmt: skip
    reading = read("Wann;Was;Wertpapier;Stück;Kurs\n06.01.2025;Kauf;SAP;10;1.240,50\n", mapping)
    (only,) = reading.trades
    assert (only.kind, only.price, only.currency) == ("buy", Decimal("1240.5"), "EUR")
    assert only.at.isoformat() == "2025-01-05T23:00:00+00:00"


@pytest.mark.parametrize(
    "change", [{"fields": {"at": column("a")}}, {"currency": ""}, {"fields": {"colour": column("a")}}]
)
def test_a_mapping_that_cannot_work_is_refused(change: dict[str, object]) -> None:
    values = {"broker": "b", "title": "B", "currency": "EUR",
              "fields": {name: column(name) for name in ("at", "symbol", "quantity", "price")}}  # fmt: skip
    with pytest.raises(BadMapping):
        Mapping(**(values | change))  # type: ignore[arg-type]


def test_text_is_found_in_what_spreadsheets_save() -> None:
    text = "Date,Side,Symbol,Quantity,Price\n2025-01-06,buy,Müller,1,5\n"
    for encoding in ("utf-8", "utf-8-sig", "utf-16", "cp1252"):
        assert read(decode(text.encode(encoding))).trades[0].symbol == "MÜLLER"
    with pytest.raises(BadFile, match="CSV"):
        decode(b"PK\x03\x04\x00\x00")


def test_what_is_written_is_read_again() -> None:
    trades = made_up(50)
    assert [one.fingerprint() for one in read(generic_csv(trades)).trades] == [
        one.fingerprint() for one in sorted(trades, key=lambda one: one.at.replace(microsecond=0))
    ]
