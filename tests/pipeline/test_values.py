"""What a value may be beyond its type, on every way into staging."""

from __future__ import annotations

import csv
import unicodedata
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest

from etl.contracts import senders
from etl.contracts.column import Breach
from etl.contracts.feed import Feed
from etl.contracts.feeds import FEEDS
from etl.contracts.reasons import Reason
from etl.contracts.sender import Parsing, SenderContract
from etl.contracts.types import LARGEST_AMOUNT, NULL_WORDS, Type
from etl.inbox import block_scan
from etl.pipeline import commands
from etl.quarantine import export
from tests.support.feeds import fill, write_batch
from tests.support.warehouse import Warehouse, failed_critical

# Characters that are invisible, look like another, or can be encoded in more than one way.
ODD = {
    "no-break space": "\u00a0",
    "soft hyphen": "\u00ad",
    "combining acute accent": "e\u0301",
    "combining grapheme joiner": "\u034f",
    "Hangul filler": "\u3164",
    "Hangul vowel filler": "\u1160",
    "Mongolian vowel separator": "\u180e",
    "en quad": "\u2000",
    "zero-width space": "\u200b",
    "zero-width joiner": "\u200d",
    "left-to-right mark": "\u200e",
    "line separator": "\u2028",
    "word joiner": "\u2060",
    "ideographic space": "\u3000",
    "byte-order mark": "\ufeff",
    "full-width letter": "\uff21",
    "full-width digit": "\uff11",
    "digit of another script": "\u0663",
    "ligature": "\ufb01",
    "superscript": "\u00b2",
    "Roman numeral": "\u2163",
    "Kelvin sign": "\u212a",
    "variation selector": "\ufe0f",
    "private character": "\ue000",
    "tag letter": "\U000e0041",
    "bold letter": "\U0001d400",
    "line feed": "\n",
    "tab": "\t",
    "bell": "\x07",
    "delete": "\x7f",
    "next line": "\x85",
}
SOUND = ["K-1", "k_1/2.3", "K 1", "\u00c9tude", "\u0416\u0443\u043a", "\u4e2d\u6587", "K'1;#&*"]
WAYS = ("as the feed asks", "with a column that nobody knows", "as a sender writes")


def write(inbox: Path, day: str, feed: Feed, rows: list[dict[str, Any]], way: str) -> Path:
    """A batch of one file that is staged in one of ``WAYS``."""
    manifest = {"files": {feed.file_name: {"contract": "other"}}} if way == WAYS[2] else None
    folder = write_batch(inbox, day, manifest)
    with (folder / feed.file_name).open("w", newline="", encoding="utf-8") as file:
        more = ["nobody_knows"] if way == WAYS[1] else []
        writer = csv.DictWriter(file, [*(c.name for c in feed.staged), *more], restval="")
        writer.writeheader()
        writer.writerows(fill(feed, row) for row in rows)
    return folder


@pytest.fixture
def stage(warehouse: Warehouse, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Stage rows of a feed in one of ``WAYS``; of rejected ones column and reason, by line."""

    def staged(way: str, feed: Feed, rows: list[dict[str, Any]]) -> dict[int, tuple[str, str]]:
        other = SenderContract(
            "other", feed, "", parsing=Parsing(null_words=("nobody sends this",))
        )
        monkeypatch.setitem(senders.SENDERS, "other", other)
        write(warehouse.inbox, "2025-01-10", feed, rows, way)
        with warehouse.pipeline(reject_share=1) as pipeline:
            commands.run_stages(pipeline, ("stage",))
        found = warehouse.rows("select line, column_name, reason from quality.quarantined_row")
        return {line: (column, reason) for line, column, reason in found}

    return staged


@pytest.mark.parametrize("way", WAYS)
def test_keys_with_odd_characters_are_rejected_and_sound_ones_load(
    warehouse: Warehouse, stage: Any, way: str
) -> None:
    places = ("{}1", "A{}1", "A1{}")
    bad = [place.format(sign) for sign in ODD.values() for place in places]
    # Blanks around a value do not belong to it: keys that trimming would change are left out.
    bad = [key for key in bad if key.strip(" \t") == key]
    rows = [{"provider_id": key} for key in SOUND + bad]
    lines, line = [], 2
    for row in rows:
        lines.append(line)
        line += row["provider_id"].count("\n") + 1
    found = stage(way, FEEDS["providers"], rows)
    expected = ("provider_id", Reason.ODD_KEY.text)
    assert found == dict.fromkeys(lines[len(SOUND) :], expected)
    staged_keys = warehouse.rows("select provider_id from staging.providers_raw")
    assert sorted(key for (key,) in staged_keys) == sorted(SOUND)
    assert all(unicodedata.is_normalized("NFC", key) for (key,) in staged_keys)


@pytest.mark.parametrize("sign", ODD.values(), ids=list(ODD))
def test_block_with_one_odd_character_is_checked_row_by_row(sign: str) -> None:
    assert block_scan.is_printable(b'7,2,K 1~!\n7,3,"K,2"\n', 2)
    assert not block_scan.is_printable(f"7,2,K{sign}1\n7,3,K2\n".encode(), 2)


@pytest.mark.parametrize("way", WAYS)
def test_null_words_are_missing_keys(warehouse: Warehouse, stage: Any, way: str) -> None:
    words = [*NULL_WORDS, *(word.upper() for word in NULL_WORDS)]
    rows = [{"claim_id": word} for word in words]
    rows += [{"claim_id": f"C{n}", "member_id": word} for n, word in enumerate(words)]
    rows += [{"claim_id": "Cx", "member_id": "Nullable"}]
    found = stage(way, FEEDS["claims"], rows)
    assert found == dict.fromkeys(range(2, len(words) + 2), ("claim_id", Reason.NO_KEY.text))
    assert warehouse.rows("select distinct member_id from staging.claims_raw order by 1") == [
        ("Nullable",),
        (None,),
    ]


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize("feed", FEEDS)
def test_the_longest_value_of_each_text_loads_and_one_character_more_is_rejected(
    warehouse: Warehouse, stage: Any, feed: str, way: str
) -> None:
    source = FEEDS[feed]
    texts = [c for c in source.staged if c.most_characters is not None]
    assert {c.type for c in source.staged if c.type.stored == "text"} <= {c.type for c in texts}
    key = next(name for name in source.key if source.column(name).type is Type.KEY)
    rows: list[dict[str, Any]] = []
    for column in texts:
        for more in (0, 1):
            # Counted in characters and not in bytes.
            value = "\u00e9" * (column.most_characters + more)
            rows.append({key: f"K{len(rows)}", column.name: value})
    found = stage(way, source, rows)
    too_long = {
        2 * place + 3: (column.name, Reason.VALUE_TOO_LONG.text)
        for place, column in enumerate(texts)
    }
    # Such letters are not what these columns may contain, however many there are.
    broken = {
        2 * place + 2: (column.name, Reason.BREACH.text)
        for place, column in enumerate(texts)
        if column.on_breach is Breach.REJECT_ROW
    }
    assert found == too_long | broken


@pytest.mark.parametrize("way", WAYS)
def test_the_largest_amount_loads_and_one_cent_more_is_rejected(
    warehouse: Warehouse, stage: Any, way: str
) -> None:
    more = str(Decimal(LARGEST_AMOUNT) + Decimal("0.01"))
    amounts = [LARGEST_AMOUNT, more, f"-{LARGEST_AMOUNT}", f"-{more}", "9" * 200, "ten"]
    rows = [{"claim_id": f"C{n}", "paid_amount": amount} for n, amount in enumerate(amounts)]
    found = stage(way, FEEDS["claims"], rows)
    large = ("paid_amount", Reason.AMOUNT_TOO_LARGE.text)
    assert found == {3: large, 5: large, 6: large, 7: ("paid_amount", Reason.NOT_AN_AMOUNT.text)}


@pytest.mark.parametrize("way", WAYS)
def test_a_change_dated_further_ahead_than_its_column_allows_is_rejected(
    warehouse: Warehouse, stage: Any, way: str
) -> None:
    days = ["", "2026-01-11T00:00:00Z", "2026-01-11T00:00:01Z", "2035-01-01", "2025-06-01"]
    rows = [{"member_id": f"M{n}", "source_updated_at": day} for n, day in enumerate(days)]
    found = stage(way, FEEDS["members"], rows)
    expected = ("source_updated_at", Reason.TOO_FAR_AHEAD.text)
    assert found == {4: expected, 5: expected}


def test_row_corrected_to_an_odd_key_stays_open(warehouse: Warehouse, tmp_path: Path) -> None:
    keys = ["P\u200b1", "P\u200b2", *(f"Q{n}" for n in range(40))]
    warehouse.send("2025-01-10", providers=[{"provider_id": key} for key in keys])
    warehouse.incremental()
    [(path, _)] = export.export(warehouse.url, tmp_path, "2025-01-10", "providers")
    text = path.read_text(encoding="utf-8")
    path.write_text(text.replace("P\u200b1", "P1").replace("P\u200b2", "\uff302"), encoding="utf-8")
    warehouse.run(commands.replay_export, path)
    assert warehouse.rows(
        "select line, reason from quality.quarantined_row where closed_at is null"
    ) == [(3, Reason.ODD_KEY.text)]
    assert warehouse.rows("select count(*) from warehouse.dim_provider where provider_sk > 0") == [
        (41,)
    ]
    assert failed_critical(warehouse.connection) == set()
