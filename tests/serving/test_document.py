"""The OpenAPI document, and what comes of requests made up from it."""

from __future__ import annotations

from pathlib import Path

import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import content_type_conformance, status_code_conformance

from reeltag.experiments.train import train_run
from tests.models.captioned import captioned
from tests.serving.served import served

CHECKS = [not_a_server_error, status_code_conformance, content_type_conformance]


def test_whatever_is_sent_is_answered_as_the_document_says(tmp_path: Path) -> None:
    corpus = captioned(tmp_path / "data")
    train_run(corpus.dataset, "main", "user-history", {}, tmp_path / "run")
    with served(tmp_path / "run", tmp_path) as service:
        document = schemathesis.openapi.from_url(f"{service.address}/openapi.json")
        operations = [found.ok() for found in document.get_all_operations()]
        assert len(operations) == 14
        for operation in operations:

            @given(case=operation.as_strategy())
            @settings(
                max_examples=15,
                derandomize=True,
                phases=[Phase.generate],
                suppress_health_check=list(HealthCheck),
            )
            def answered(case: schemathesis.Case) -> None:
                case.call_and_validate(checks=CHECKS)

            answered()
