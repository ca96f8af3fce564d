"""The files of several brokers, as they were in 2025, and one for spreadsheets of one's own."""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import Final

from tradesense.importing.mapping import Mapping, Skip, column
from tradesense.trades import Kind

__all__ = ["GENERIC", "PRESETS"]

_SIDES: Final[dict[str, Kind]] = {
    "buy": "buy", "bought": "buy", "b": "buy", "bot": "buy", "long": "buy", "cover": "buy", "buy to cover": "buy",
    "sell": "sell", "sold": "sell", "s": "sell", "sld": "sell", "short": "sell", "split": "split",
    "dividend": "dividend", "div": "dividend", "interest": "interest", "fee": "fee", "commission": "fee", "tax": "fee",
    "deposit": "deposit", "withdrawal": "withdrawal",
}  # fmt: skip

IBKR_FLEX = Mapping(
    broker="ibkr-flex",
    title="Interactive Brokers: Flex Query, Trades",
    fields={
        "at": column("DateTime", "Date/Time"),
        "kind": column("Buy/Sell"),
        "symbol": column("Symbol"),
        "quantity": column("Quantity"),
        "price": column("TradePrice", "Price"),
        "fee": column("IBCommission"),
        "fee_currency": column("IBCommissionCurrency"),
        "currency": column("CurrencyPrimary", "Currency"),
        "multiplier": column("Multiplier"),
        "account": column("ClientAccountID", "AccountId"),
        "id": column("TradeID", "IBExecID"),
        "level": column("LevelOfDetail"),
        "asset": column("AssetClass"),
    },
    kinds={"buy": "buy", "sell": "sell"},
    # Sums of executions stand beside them; a trade of currencies moves cash alone.
    skips=(
        Skip("level", ("order", "symbol", "asset", "closed", "wash", "lot")),
        Skip("asset", ("cash",)),
        Skip("kind", ("",)),
    ),
    requires=frozenset({"tradeprice", "ibcommission", "buy/sell"}),
    times=("%Y%m%d;%H%M%S", "%Y-%m-%d;%H:%M:%S", "%Y%m%d", "%Y-%m-%d, %H:%M:%S", "%m/%d/%Y;%H:%M:%S"),
    zone="America/New_York",
    fee_signed=True,
)
IBKR_ACTIVITY = Mapping(
    broker="ibkr-activity",
    title="Interactive Brokers: activity statement",
    fields={
        "at": column("Date/Time"),
        "kind": column("DataDiscriminator"),
        "symbol": column("Symbol"),
        "quantity": column("Quantity"),
        "price": column("T. Price"),
        "fee": column("Comm/Fee", "Comm in USD"),
        "currency": column("Currency"),
        "amount": column("Proceeds", "Notional Value"),
        "asset": column("Asset Category"),
    },
    skips=(Skip("kind", ("closedlot", "subtotal", "total", "trade")), Skip("asset", ("forex",))),
    requires=frozenset({"datadiscriminator", "t. price"}),
    times=("%Y-%m-%d, %H:%M:%S", "%Y-%m-%d"),
    zone="America/New_York",
    section="Trades",
    fee_signed=True,
)
SCHWAB = Mapping(
    broker="schwab",
    title="Charles Schwab: transactions",
    fields={
        "at": column("Date"),
        "kind": column("Action"),
        "symbol": column("Symbol"),
        "quantity": column("Quantity"),
        "price": column("Price"),
        "fee": column("Fees & Comm"),
        "amount": column("Amount"),
        "note": column("Description"),
    },
    kinds={
        "buy": "buy", "sell": "sell", "reinvest shares": "buy", "buy to open": "buy", "buy to close": "buy",
        "sell to open": "sell", "sell to close": "sell", "sell short": "sell", "cash dividend": "dividend",
        "qualified dividend": "dividend", "non-qualified div": "dividend", "special dividend": "dividend",
        "reinvest dividend": "dividend", "qual div reinvest": "dividend", "bond interest": "interest",
        "credit interest": "interest", "bank interest": "interest", "margin interest": "interest",
        "adr mgmt fee": "fee", "service fee": "fee", "foreign tax paid": "fee", "moneylink deposit": "deposit",
        "wire funds received": "deposit", "funds received": "deposit", "wire funds": "withdrawal",
        "wire sent": "withdrawal", "moneylink transfer": "deposit",
    },
    skips=(
        Skip("at", ("transactions total",)),
        Skip("kind", ("journal", "security transfer", "internal transfer")),
    ),
    by_hand=("stock split", "reverse split", "expired", "assigned", "exchange or exercise", "stock merger", "spin-off"),
    requires=frozenset({"action", "fees & comm", "amount"}),
    times=("%m/%d/%Y",),
    zone="America/New_York",
    currency="USD",
)  # fmt: skip
FIDELITY = Mapping(
    broker="fidelity",
    title="Fidelity: account history",
    fields={
        "at": column("Run Date"),
        "kind": column("Action"),
        "symbol": column("Symbol"),
        "quantity": column("Quantity"),
        "price": column("Price ($)", "Price"),
        "fee": (column("Commission ($)", "Commission"), column("Fees ($)", "Fees")),
        "amount": column("Amount ($)", "Amount"),
        "account": column("Account Number", "Account"),
    },
    kinds={
        "you bought": "buy", "you sold": "sell", "reinvestment": "buy", "dividend received": "dividend",
        "interest earned": "interest", "foreign tax paid": "fee", "fee charged": "fee",
        "electronic funds transfer received": "deposit", "electronic funds transfer paid": "withdrawal",
        "direct deposit": "deposit", "wire transfer from": "deposit", "wire transfer to": "withdrawal",
    },
    skips=(Skip("kind", ("", "transferred", "journaled", "redemption")),),
    by_hand=("distribution", "exchanged", "expired", "assigned", "merger", "reverse split", "spin"),
    requires=frozenset({"run date", "action"}),
    times=("%m/%d/%Y", "%b-%d-%Y"),
    zone="America/New_York",
    currency="USD",
)  # fmt: skip
ROBINHOOD = Mapping(
    broker="robinhood",
    title="Robinhood: account activity",
    fields={
        "at": column("Activity Date"),
        "kind": column("Trans Code"),
        "symbol": column("Instrument"),
        "quantity": column("Quantity"),
        "price": column("Price"),
        "amount": column("Amount"),
        "note": column("Description"),
    },
    kinds={
        "buy": "buy", "sell": "sell", "bto": "buy", "btc": "buy", "sto": "sell", "stc": "sell", "cdiv": "dividend",
        "mdiv": "dividend", "int": "interest", "slip": "interest", "gold": "fee", "dfee": "fee", "afee": "fee",
        "dtax": "fee", "ach": "deposit", "rtp": "deposit", "wire": "deposit",
    },
    skips=(Skip("kind", ("", "acats", "jnl", "futswp")),),
    by_hand=("spl", "spr", "sxch", "mrgs", "oexp", "oasgn", "oexcs", "conv", "soff"),
    requires=frozenset({"activity date", "trans code", "instrument"}),
    times=("%m/%d/%Y",),
    zone="America/New_York",
    currency="USD",
)  # fmt: skip
TRADING_212 = Mapping(
    broker="trading212",
    title="Trading 212: history",
    fields={
        "at": column("Time"),
        "kind": column("Action"),
        "symbol": column("Ticker"),
        "quantity": column("No. of shares"),
        "price": column("Price / share"),
        "currency": column("Currency (Price / share)"),
        "fee": (
            column("Currency conversion fee"), column("Charge amount"), column("Stamp duty reserve tax"),
            column("Finra fee"), column("Transaction fee"), column("French transaction tax"),
        ),
        "fee_currency": (column("Currency (Currency conversion fee)"), column("Currency (Charge amount)"),
                         column("Currency (Total)")),
        "fee_rate": column("Exchange rate"),
        "amount": column("Total"),
        "amount_currency": column("Currency (Total)", "Currency"),
        "id": column("ID"),
        "note": column("Notes"),
    },
    kinds={
        "market buy": "buy", "limit buy": "buy", "stop buy": "buy", "stop limit buy": "buy", "market sell": "sell",
        "limit sell": "sell", "stop sell": "sell", "stop limit sell": "sell", "dividend": "dividend",
        "interest on cash": "interest", "lending interest": "interest", "deposit": "deposit",
        "withdrawal": "withdrawal",
    },
    skips=(Skip("kind", ("currency conversion", "card debit", "card credit", "spending cashback", "result adjustment",
                         "new card cost")),),
    by_hand=("stock split", "stock distribution", "custom stock"),
    requires=frozenset({"action", "time", "no. of shares", "price / share"}),
    times=("%Y-%m-%d %H:%M:%S.%f", "%Y-%m-%d %H:%M:%S"),
    pence={"GBX": "GBP", "GBp": "GBP"},
)  # fmt: skip
DEGIRO = Mapping(
    broker="degiro",
    title="Degiro: transactions",
    fields={
        "at": column("Date", "Datum"),
        "time": column("Time", "Tijd", "Uhrzeit"),
        "symbol": column("ISIN"),
        "quantity": column("Quantity", "Aantal", "Anzahl"),
        "price": column("Price", "Koers", "Kurs"),
        "currency": column("Price", "Koers", "Kurs", after=1),
        "fee": column("Transaction and/or third", "Transaction and/or third party fees", "Transactiekosten en/of",
                      "Transaction costs", "Transaktionsgebühren"),
        "fee_currency": column("Transaction and/or third", "Transaction and/or third party fees",
                               "Transactiekosten en/of", "Transaction costs", "Transaktionsgebühren", after=1),
        "fee_rate": column("Exchange rate", "Wisselkoers", "Wechselkurs"),
        "note": column("Product", "Produkt"),
        "id": column("Order ID", "Order Id"),
    },
    requires=frozenset({"isin", "order id", "venue"}),
    times=("%d-%m-%Y %H:%M", "%d-%m-%Y"),
    zone="Europe/Amsterdam",
    own_ids=False,
    fee_signed=True,
    pence={"GBX": "GBP"},
)  # fmt: skip
DEGIRO_NL = replace(
    DEGIRO,
    broker="degiro-nl",
    title="Degiro: transacties",
    requires=frozenset({"isin", "order id", "uitvoeringsplaats"}),
    point=",",
)
GENERIC = Mapping(
    broker="generic",
    title="A spreadsheet: date, side, symbol, quantity, price",
    fields={
        "at": column("date", "datetime", "time", "timestamp", "executed at", "trade date", "date/time"),
        "kind": column("side", "action", "type", "buy/sell", "direction", "kind"),
        "symbol": column("symbol", "ticker", "instrument", "asset", "isin"),
        "quantity": column("quantity", "qty", "shares", "size", "units", "filled"),
        "price": column("price", "price per share", "avg price", "fill price", "execution price"),
        "fee": (column("fee", "fees"), column("commission", "commissions"), column("tax", "taxes")),
        "currency": column("currency", "ccy"),
        "amount": column("amount", "total", "net amount"),
        "multiplier": column("multiplier"),
        "account": column("account"),
        "id": column("id", "trade id", "execution id", "exec id"),
        "tags": column("tags", "tag", "setup"),
        "note": column("note", "notes", "comment"),
    },
    kinds=_SIDES,
    currency="USD",
    times=("%Y-%m-%d %H:%M", "%Y/%m/%d %H:%M:%S", "%Y/%m/%d"),
)

#: By name, in the order in which files are compared with them.
PRESETS: Final = MappingProxyType({
    one.broker: one
    for one in (IBKR_FLEX, IBKR_ACTIVITY, SCHWAB, FIDELITY, ROBINHOOD, TRADING_212, DEGIRO, DEGIRO_NL, GENERIC)
})  # fmt: skip
