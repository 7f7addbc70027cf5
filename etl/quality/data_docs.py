"""Great Expectations' data docs, made from the recorded results of the checks.

Nothing is validated again: the suites come from the contracts, as in the checks, and each result is
rebuilt from the counts that a run recorded. So the pages say what the report says, and no value of
a row, nor anything of the database's address, can get into them. The context lives in memory.

The stock pages fetch their style and scripts from five servers. Here all of that is taken out and
a small style and script of ours put in, so that the pages open without a network.
"""

from __future__ import annotations

import re
import shutil
import warnings
from collections.abc import Iterator, Sequence
from functools import cache
from html import escape
from importlib import resources
from pathlib import Path
from typing import Any

from etl.errors import AcaError, UsageError
from etl.quality.great_expectations import context_in_memory
from etl.quality.report_rows import CheckRow, Latest
from etl.render.expectations import Suite, suites

_SITE = "warehouse"
# What would be fetched from elsewhere, and scripts that call what is no longer there.
_REMOTE = re.compile(
    r"<link\b[^>]*>|<script\b[^>]*>.*?</script>|<img\b[^>]*\bsrc=[\"']?https?:[^>]*>"
    r"|@import[^;]*;|<meta http-equiv=[^>]*>"
    # An advertisement, and buttons that only the scripts knew what to do with.
    r"|<footer>.*?</footer>|<button\b[^>]*clearTableFilters[^>]*>.*?</button>",
    re.IGNORECASE | re.DOTALL,
)
_REMOTE_STYLE = re.compile(r"url\(\s*['\"]?https?:[^)]*\)", re.IGNORECASE)
_REMOTE_ANCHOR = re.compile(
    r"<a\b[^>]*\bhref=[\"']?https?:[^>]*>(.*?)</a>", re.IGNORECASE | re.DOTALL
)
# The logo leads to the first page; without its picture it would be an empty link.
_LOGO = re.compile(r'<div class="[^"]*\bnavbar-brand\b.*?</div>', re.DOTALL)
# The first page's tables are empty: a script was to fill them.
_EMPTY_TABLE = re.compile(
    r"<table\b[^>]*\bge-index-page-(validation-results|expectation_suites)-table\b[^>]*>\s*"
    r"</table>",
)
_REPORT = "../report.html"
# Marks a folder as data docs, so that no other folder of that name is ever replaced.
_OURS = ".made-by-dq-report"
_POLICY = (
    '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
    "style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:\">"
    '<link rel="icon" href="data:,">'
)


def write_data_docs(folder: Path, latest: Latest, checks: Sequence[CheckRow]) -> Path:
    """Write the pages again into the folder; where the first of them is.

    ``checks``: with their latest results; those of Great Expectations that ``latest`` ran are
    shown, by table. Raises ``UsageError`` if the folder contains something else.
    """
    if folder.exists() and not (folder / _OURS).exists():
        raise UsageError(
            f"{folder} exists and contains something else.",
            "Name another folder: make dq-report TO=folder",
        )
    draft = folder.with_name(f".{folder.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    found = {c.check_name: c for c in checks if c.check_run_id == latest.check_run_id}
    with warnings.catch_warnings(action="ignore"):
        _build(draft, latest, found)
    shutil.rmtree(draft / "static", ignore_errors=True)
    for page in draft.rglob("*.html"):
        up = "../" * (len(page.relative_to(draft).parts) - 1)
        text = offline(page.read_text(encoding="utf-8"), f"{up}{_REPORT}")
        if page == draft / "index.html":
            text = _fill_index(text, draft, found)
        page.write_text(text, encoding="utf-8")
    _see_that_all_are_there(draft)
    (draft / _OURS).touch()
    shutil.rmtree(folder, ignore_errors=True)
    draft.replace(folder)
    return folder / "index.html"


def _build(folder: Path, latest: Latest, found: dict[str, CheckRow]) -> None:
    context = context_in_memory()
    from great_expectations import __version__
    from great_expectations.core import ExpectationSuite
    from great_expectations.core.run_identifier import RunIdentifier
    from great_expectations.data_context.types.resource_identifiers import (
        ExpectationSuiteIdentifier,
        ValidationResultIdentifier,
    )

    for name in list(context.get_site_names()):
        context.delete_data_docs_site(name)
    # A mapping of more keys than its declared type has.
    site: Any = {
        "class_name": "SiteBuilder",
        "show_how_to_buttons": False,
        "store_backend": {
            "class_name": "TupleFilesystemStoreBackend",
            "base_directory": str(folder),
        },
        "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
    }
    context.add_data_docs_site(_SITE, site)
    run_id = RunIdentifier(run_name=f"run-{latest.check_run_id}", run_time=latest.started_at)
    for suite in suites():
        context.suites.add(ExpectationSuite(name=suite.table, expectations=list(_expected(suite))))
        context.validation_results_store.set(
            ValidationResultIdentifier(
                expectation_suite_identifier=ExpectationSuiteIdentifier(suite.table),
                run_id=run_id,
                batch_identifier=suite.table,
            ),
            _result(suite, found, run_id, __version__),
        )
    context.build_data_docs(site_names=[_SITE])


def _see_that_all_are_there(folder: Path) -> None:
    """Raise ``AcaError`` for a missing page: Great Expectations leaves one out without a word."""
    for suite in suites():
        name = f"{suite.table}.html"
        if not (folder / "expectations" / name).exists() or not any(
            folder.glob(f"validations/{suite.table}/**/{name}")
        ):
            raise AcaError(
                f"Great Expectations did not write the page on {suite.table}.",
                "The report itself is written and whole; its data docs are those of before.",
            )


def _expected(suite: Suite) -> Iterator[dict[str, Any]]:
    for expectation in suite.expectations:
        check = expectation.check
        yield {
            "type": expectation.kind,
            "kwargs": expectation.arguments,
            "meta": {"check": check.name, "severity": check.severity},
        }


def _result(suite: Suite, found: dict[str, CheckRow], run_id: Any, version: str) -> Any:
    """What a validation of the table would have given, had it kept counts only."""
    from great_expectations.core import ExpectationSuiteValidationResult

    results = [
        _one(expected, check)
        for expected in _expected(suite)
        if (check := found.get(expected["meta"]["check"])) is not None
    ]
    passed = sum(bool(result.success) for result in results)
    return ExpectationSuiteValidationResult(
        success=passed == len(results),
        results=results,
        suite_name=suite.table,
        statistics={
            "evaluated_expectations": len(results),
            "successful_expectations": passed,
            "unsuccessful_expectations": len(results) - passed,
            "success_percent": 100 * passed / len(results) if results else None,
        },
        meta={
            "great_expectations_version": version,
            "run_id": run_id,
            "validation_time": run_id.run_time.isoformat(),
            "active_batch_definition": {"data_asset_name": suite.table},
            "batch_kwargs": {"data_asset_name": suite.table},
        },
    )


def _one(expected: dict[str, Any], check: CheckRow) -> Any:
    from great_expectations.core import ExpectationValidationResult
    from great_expectations.expectations.expectation_configuration import ExpectationConfiguration

    if check.rows_checked is None:
        found: dict[str, Any] = {}
        trouble = "A table or column that it reads is missing."
    else:
        failed = check.rows_failed or 0
        percent = 100 * failed / check.rows_checked if check.rows_checked else 0.0
        found = {
            "element_count": check.rows_checked,
            "unexpected_count": failed,
            "unexpected_percent": percent,
            "partial_unexpected_list": [],
        }
        trouble = None
    return ExpectationValidationResult(
        success=bool(check.passed),
        expectation_config=ExpectationConfiguration(**expected),
        result=found,
        exception_info={
            "raised_exception": trouble is not None,
            "exception_message": trouble,
            # Shown when unfolded; without a text the page would not be made at all.
            "exception_traceback": "Not kept: it could quote values." if trouble else None,
        },
    )


def offline(text: str, report: str) -> str:
    """A stock page without anything that it would fetch, in our style.

    ``report``: where from this page the report is.
    """
    text = _REMOTE_STYLE.sub("none", _REMOTE.sub("", text))
    text = _REMOTE_ANCHOR.sub(r"\1", text)
    text = _LOGO.sub(f'<div class="navbar-brand"><a href="{report}">Data quality</a></div>', text)
    text = text.replace("<html>", '<html lang="en">', 1).replace("<title></title>", "", 1)
    style, script = _own("data_docs.css"), _own("data_docs.js")
    text = text.replace("</head>", f"{_POLICY}<style>{style}</style></head>", 1)
    return text.replace("</body>", f"<script>{script}</script></body>", 1)


def _fill_index(text: str, folder: Path, found: dict[str, CheckRow]) -> str:
    """The first page with its two tables, which the stock page leaves to a script."""
    results, definitions = [], []
    for suite in suites():
        name = escape(suite.table)
        checks = [found[e.check.name] for e in suite.expectations if e.check.name in found]
        failed = sum(not check.passed for check in checks)
        icon, state = (
            ("times text-danger", "failed") if failed else ("check text-success", "passed")
        )
        definitions.append(
            f'<tr><th scope="row"><a href="expectations/{name}.html">{name}</a></th>'
            f"<td>{len(suite.expectations):,}</td></tr>"
        )
        for page in sorted(folder.glob(f"validations/{suite.table}/**/*.html")):
            results.append(
                f'<tr><td><i class="fas fa-{icon}" aria-hidden="true"></i> {state}</td>'
                f'<th scope="row"><a href="{escape(page.relative_to(folder).as_posix())}">{name}'
                f"</a></th><td>{len(checks):,}</td><td>{failed:,}</td></tr>"
            )
    tables = {
        "validation-results": _table(
            "Validation results", ("State", "Table", "Expectations", "Failed"), results
        ),
        "expectation_suites": _table("Expectation suites", ("Table", "Expectations"), definitions),
    }
    return _EMPTY_TABLE.sub(lambda table: tables[table[1]], text)


def _table(caption: str, heads: tuple[str, ...], rows: list[str]) -> str:
    head = "".join(f'<th scope="col">{name}</th>' for name in heads)
    return (
        f'<table class="table"><caption>{caption}</caption><thead><tr>{head}</tr></thead>'
        f"<tbody>{''.join(rows)}</tbody></table>"
    )


@cache
def _own(name: str) -> str:
    return (resources.files("etl") / "quality" / "page" / name).read_text(encoding="utf-8")
