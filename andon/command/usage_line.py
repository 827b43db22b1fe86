"""What a response cost, in one line for people."""

from andon.client import Event


def usage_line(response: Event) -> str:
    """Say the tokens of a Response and who counted them."""
    usage = response.get("usage") or {}
    counted = {"upstream": "counted by the model server", "estimated": "estimated here"}.get(
        usage.get("source", ""), "of unknown source"
    )
    return f"{usage.get('output_tokens', '?')} tokens out, {usage.get('input_tokens', '?')} in ({counted})"


def stop_line(response: Event) -> str:
    """Say when the upstream of a stopped Response was closed."""
    stop = response.get("stop") or {}
    closed_at, requested_at = stop.get("upstream_closed_at"), stop.get("requested_at")
    if closed_at is None or requested_at is None:
        return "no upstream was open"
    return f"upstream closed {(closed_at - requested_at) * 1000:.0f} ms after the stop"
