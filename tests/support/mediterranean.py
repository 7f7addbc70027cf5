"""A sender that writes as its country does, and a file of it."""

from __future__ import annotations

import csv
import io

from etl.contracts.column import Between, Breach
from etl.contracts.feeds import FEEDS
from etl.contracts.sender import Parsing, SenderContract
from etl.contracts.value import of

mediterranean = SenderContract(
    name="mediterranean",
    feed=FEEDS["claims"],
    description="A clearing house that writes as its country does.",
    columns={
        "claim_id": of("N° Sinistre"),
        "member_id": of("Assuré"),
        "service_date": of("Date"),
        "claim_amount": of("Réclamé"),
        "allowed_amount": of("Admis", "Admis (devise)"),
        "paid_amount": of("Payé"),
        "discharge_date": of("Parti"),
    },
    parsing=Parsing(
        encoding="windows-1252",
        date_order="dmy",
        decimal=",",
        thousands=".",
        currency=("€", "EUR"),
        null_words=("", "NR", "*", "néant"),
    ),
    not_sent=("procedure_code",),
    checks={"paid_amount": Between(0, 5000)},
    on_breach={"paid_amount": Breach.REJECT_ROW, "status": Breach.REJECT_FILE},
    reject_share=0.9,
)

FRENCH = """\
N° Sinistre;Assuré;provider_id;plan_id;Date;Réclamé;Admis;Admis (devise);Payé;\
Parti;status;diagnosis_code
A;Zoé;P;Q;31.12.2024;1.234,50;1.000,00;;€ 900;*;approved;E119
B;NR;P;Q;1/2/2025;"-12,5 €";néant;EUR 7,00;EUR0;03-02-2025;approved;NR
C;M;P;Q;2025-02-01;1;1;;1;*;approved;E119
D;M;P;Q;2/13/2025;1;1;;1;*;approved;E119
E;M;P;Q;1.2.25;1;1;;1;*;approved;E119
F;M;P;Q;1.2.2025;1,234.50;1;;1;*;approved;E119
G;M;P;Q;1.2.2025;12.34;1;;1;*;approved;E119
*;M;P;Q;1.2.2025;1;1;;1;*;approved;E119
I;M;P;Q;1.2.2025;1;1;;5.000,01;*;approved;E119
J;M;P;Q;today;1;1;;1;*;approved;E119
K;M;P;Q;*;1;1;;1;*;approved;E119
L;M\x81;P;Q;1.2.2025;1;1;;1;*;approved;E119
M;M;P;Q;1.2.2025;$1;1;;1;*;approved;E119
C;M;P;Q;2025-02-01;1,00;1;;1;"";approved;E119
N;M;P;Q;1.2.2025;1,005;1;;1;*;approved;E119
"""


def encoded(text: str, encoding: str) -> bytes:
    """Lines of fields with semicolons as CSV; U+0081 marks a byte without a character."""
    out = io.StringIO()
    rows = list(csv.reader(io.StringIO(text), delimiter=";"))
    csv.writer(out, lineterminator="\r\n", quoting=csv.QUOTE_ALL).writerows(rows)
    parts = out.getvalue().split("\x81")
    return b"\x81".join(part.encode(encoding) for part in parts)
