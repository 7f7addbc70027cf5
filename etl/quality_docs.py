"""Great Expectations' data docs, made from the recorded results of the checks.

Nothing is validated again: the suites come from the contracts, as in the checks, and each result is
rebuilt from the counts that a run recorded. So the pages say what the report says, and no value of
a row, nor anything of the database's address, can get into them. The context lives in memory.

The stock pages fetch their style and scripts from five servers. Here all of that is taken out and
a small style and script of ours put in, so that the pages open without a network.
"""

from __future__ import annotations

import logging
import re
import shutil
import warnings
from collections.abc import Iterator, Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

from etl.render.expectations import Suite, suites
from etl.render.quality_page import CheckRow, Latest

_SITE = "data_docs"
# What would be fetched from elsewhere, and scripts that call what is no longer there.
_REMOTE = re.compile(
    r"<link\b[^>]*>|<script\b[^>]*>.*?</script>|<img\b[^>]*\bsrc=[\"']?https?:[^>]*>"
    r"|@import[^;]*;|<meta http-equiv=[^>]*>",
    re.IGNORECASE | re.DOTALL,
)
_REMOTE_STYLE = re.compile(r"url\(\s*['\"]?https?:[^)]*\)", re.IGNORECASE)
_REMOTE_ANCHOR = re.compile(r"<a\b[^>]*\bhref=[\"']?https?:[^>]*>(.*?)</a>", re.I | re.S)
_POLICY = (
    '<meta http-equiv="Content-Security-Policy" content="default-src \'none\'; '
    "style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:\">"
    '<link rel="icon" href="data:,">'
)


def write_data_docs(folder: Path, latest: Latest, checks: Sequence[CheckRow]) -> Path:
    """Write the pages anew into the folder; where the first of them is.

    ``checks``: with their latest results; those of Great Expectations that ``latest`` ran are
    shown, by table.
    """
    draft = folder.with_name(f".{folder.name}.draft")
    shutil.rmtree(draft, ignore_errors=True)
    draft.mkdir(mode=0o700)
    found = {c.check_name: c for c in checks if c.check_run_id == latest.check_run_id}
    with warnings.catch_warnings(action="ignore"):
        _build(draft, latest, found)
    shutil.rmtree(draft / "static", ignore_errors=True)
    for page in draft.rglob("*.html"):
        page.write_text(offline(page.read_text(encoding="utf-8")), encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    draft.replace(folder)
    return folder / "index.html"


def _build(folder: Path, latest: Latest, found: dict[str, CheckRow]) -> None:
    # Its messages go nowhere, as in the checks.
    logger = logging.getLogger("great_expectations")
    logger.handlers = [logging.NullHandler()]
    logger.propagate = False
    import great_expectations as gx  # takes seconds
    from great_expectations.core import ExpectationSuite
    from great_expectations.core.run_identifier import RunIdentifier
    from great_expectations.data_context.types.base import ProgressBarsConfig
    from great_expectations.data_context.types.resource_identifiers import (
        ExpectationSuiteIdentifier,
        ValidationResultIdentifier,
    )

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = ProgressBarsConfig(globally=False)
    for site in list(context.get_site_names()):
        context.delete_data_docs_site(site)
    context.add_data_docs_site(
        _SITE,
        {
            "class_name": "SiteBuilder",
            "show_how_to_buttons": False,
            "store_backend": {
                "class_name": "TupleFilesystemStoreBackend",
                "base_directory": str(folder),
            },
            "site_index_builder": {"class_name": "DefaultSiteIndexBuilder"},
        },
    )
    run_id = RunIdentifier(run_name=f"run {latest.check_run_id}", run_time=latest.started_at)
    for suite in suites():
        context.suites.add(ExpectationSuite(name=suite.table, expectations=list(_expected(suite))))
        context.validation_results_store.set(
            ValidationResultIdentifier(
                expectation_suite_identifier=ExpectationSuiteIdentifier(suite.table),
                run_id=run_id,
                batch_identifier=suite.table,
            ),
            _result(suite, found, run_id, gx.__version__),
        )
    context.build_data_docs(site_names=[_SITE])


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
            "exception_traceback": None,
        },
    )


def offline(text: str) -> str:
    """A stock page without anything that it would fetch, in our style."""
    text = _REMOTE_STYLE.sub("none", _REMOTE.sub("", text))
    text = _REMOTE_ANCHOR.sub(r"\1", text)
    style, script = _own("data_docs.css"), _own("data_docs.js")
    text = text.replace("</head>", f"{_POLICY}<style>{style}</style></head>", 1)
    return text.replace("</body>", f"<script>{script}</script></body>", 1)


@cache
def _own(name: str) -> str:
    return (resources.files("etl") / "render" / "page" / name).read_text(encoding="utf-8")
