"""Spans and metrics of runs, for OpenTelemetry.

`TelemetryListener` is the `on_event` of a verb. It needs the API of OpenTelemetry:
`pip install 'asynccvat[telemetry]'`. The program chooses the SDK and its exporters.
"""

try:
    from asynccvat.telemetry.listener import TelemetryListener
except ModuleNotFoundError as error:
    if (error.name or "").partition(".")[0] != "opentelemetry":
        raise
    raise ModuleNotFoundError(
        "asynccvat.telemetry needs a package that is not installed: opentelemetry-api. "
        "Run: pip install 'asynccvat[telemetry]'.",
        name=error.name,
    ) from error

__all__ = ["TelemetryListener"]
