"""What a column means, beyond the type that it is stored in."""

from __future__ import annotations

import re
from enum import StrEnum
from typing import Final


class Kind(StrEnum):
    """The semantic type of a column."""

    ID = "id"
    TIMESTAMP = "timestamp"
    AMOUNT = "amount"
    NUMBER = "number"
    CODE = "code"
    CATEGORY = "category"
    TEXT = "text"
    BOOLEAN = "boolean"
    CURRENCY = "currency"
    COUNTRY = "country"
    EMAIL = "email"
    PHONE = "phone"
    CARD = "card_number"
    CONSTANT = "constant"
    EMPTY = "empty"
    OTHER = "other"

    @property
    def numeric(self) -> bool:
        """Whether distances between its values mean something."""
        return self in (Kind.AMOUNT, Kind.NUMBER)

    @property
    def discrete(self) -> bool:
        """Whether it takes few values that are compared by share."""
        return self in (Kind.CODE, Kind.CATEGORY, Kind.BOOLEAN, Kind.CURRENCY, Kind.COUNTRY, Kind.CONSTANT)

    @property
    def wordy(self) -> bool:
        """Whether people or banks wrote its values, with all that goes wrong in writing."""
        return self in (Kind.CATEGORY, Kind.TEXT)


def words_of(name: str) -> frozenset[str]:
    """The lower-case words of a column name: ``merchantId2`` and ``merchant_id_2`` give merchant, id, 2."""
    spaced = re.sub(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Za-z])(?=\d)", " ", name)
    return frozenset(word.lower() for word in re.split(r"[^A-Za-z0-9]+", spaced) if word)


AMOUNT_WORDS: Final = frozenset(
    "amount amt price total value balance cost fee fees spend spent payment revenue salary charge sum debit credit "
    "limit expense income net gross tax vat paid turnover".split()
)
ID_WORDS: Final = frozenset(
    "id ids uuid guid identifier key hash token reference ref iban bic swift fingerprint".split()
)
OWNER_WORDS: Final = frozenset(
    "customer client user merchant card account acct device terminal ip session parent store shop org organisation "
    "organization branch employee member product sku category order batch file group partner vendor supplier".split()
)
"""Ids with one of these words name the other thing, which has many rows here."""
CODE_WORDS: Final = frozenset(
    "code mcc zip postal postcode status type class level grade category year month day hour weekday quarter week "
    "minute bin sic naics segment cluster flag label response".split()
)
TIME_WORDS: Final = frozenset("time timestamp date datetime ts at on when day posted created updated booked".split())
LATER_WORDS: Final = frozenset(
    "expiry expires expiration exp due until valid maturity end next birth birthday dob".split()
)
"""Dates with one of these words may lie in the future or say nothing about when the row came to be."""
LATITUDE_WORDS: Final = frozenset("lat latitude".split())
LONGITUDE_WORDS: Final = frozenset("lon lng long longitude".split())
CURRENCY_WORDS: Final = frozenset("currency ccy curr iso4217".split())
COUNTRY_WORDS: Final = frozenset("country nation nationality iso3166".split())
PHONE_WORDS: Final = frozenset("phone mobile tel telephone fax cell msisdn".split())
SEQUENCE_WORDS: Final = frozenset("index row rownum rowid line seq sequence number no nr num unnamed".split())

CURRENCIES: Final = frozenset(
    "AED AFN ALL AMD ANG AOA ARS AUD AWG AZN BAM BBD BDT BGN BHD BIF BMD BND BOB BRL BSD BTN BWP BYN BZD CAD CDF CHF "
    "CLF CLP CNY CNH COP CRC CUP CVE CZK DJF DKK DOP DZD EGP ERN ETB EUR FJD FKP GBP GEL GHS GIP GMD GNF GTQ GYD HKD "
    "HNL HRK HTG HUF IDR ILS INR IQD IRR ISK JMD JOD JPY KES KGS KHR KMF KPW KRW KWD KYD KZT LAK LBP LKR LRD LSL LYD "
    "MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MYR MZN NAD NGN NIO NOK NPR NZD OMR PAB PEN PGK PHP PKR PLN PYG "
    "QAR RON RSD RUB RWF SAR SBD SCR SDG SEK SGD SHP SLE SLL SOS SRD SSP STN SVC SYP SZL THB TJS TMT TND TOP TRY TTD "
    "TWD TZS UAH UGX USD UYU UZS VED VES VND VUV WST XAF XAG XAU XCD XDR XOF XPD XPF XPT YER ZAR ZMW ZWL BTC ETH USDT "
    "USDC".split()
)
"""ISO 4217 codes in use, with the crypto-assets that payment files carry most."""
COUNTRIES: Final = frozenset(
    "AD AE AF AG AI AL AM AO AQ AR AS AT AU AW AX AZ BA BB BD BE BF BG BH BI BJ BL BM BN BO BQ BR BS BT BV BW BY BZ CA "
    "CC CD CF CG CH CI CK CL CM CN CO CR CU CV CW CX CY CZ DE DJ DK DM DO DZ EC EE EG EH ER ES ET FI FJ FK FM FO FR GA "
    "GB GD GE GF GG GH GI GL GM GN GP GQ GR GS GT GU GW GY HK HM HN HR HT HU ID IE IL IM IN IO IQ IR IS IT JE JM JO JP "
    "KE KG KH KI KM KN KP KR KW KY KZ LA LB LC LI LK LR LS LT LU LV LY MA MC MD ME MF MG MH MK ML MM MN MO MP MQ MR MS "
    "MT MU MV MW MX MY MZ NA NC NE NF NG NI NL NO NP NR NU NZ OM PA PE PF PG PH PK PL PM PN PR PS PT PW PY QA RE RO RS "
    "RU RW SA SB SC SD SE SG SH SI SJ SK SL SM SN SO SR SS ST SV SX SY SZ TC TD TF TG TH TJ TK TL TM TN TO TR TT TV TW "
    "TZ UA UG UM US UY UZ VA VC VE VG VI VN VU WF WS YE YT ZA ZM ZW XK UK EU".split()
)
"""ISO 3166-1 alpha-2 codes, with the reserved ones that occur in practice."""
