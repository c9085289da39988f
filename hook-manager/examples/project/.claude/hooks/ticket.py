#!/usr/bin/env python3
"""UserPromptSubmit: adds the ticket a prompt mentions (ABC-123) to the context.

The ticket server is played by this file, and it is flaky on purpose: every first request fails. The hook only reads, so
its entry in settings.json declares it idempotent, and the manager tries again.
"""
import json
import os
import re
import sys
import tempfile

TICKETS = {"UP-7": "Uploads larger than 2 GiB stop at 99 %. Wanted: resume where they stopped."}


def fetch(ticket: str, session: str) -> str:
    # One marker per manager process and session, gone again after the second request.
    marker = os.path.join(tempfile.gettempdir(), f"hook-example-{os.getppid()}-{session[:36]}.flaky")
    try:
        os.close(os.open(marker, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
    except FileExistsError:
        os.unlink(marker)
        return TICKETS.get(ticket, "no such ticket")
    sys.exit("ticket server: 503 service unavailable")


def main() -> None:
    event = json.load(sys.stdin)
    found = re.search(r"\b[A-Z]{2,}-\d+\b", event.get("prompt", ""))
    if found:
        text = fetch(found[0], re.sub(r"[^\w-]", "", event.get("session_id", "")))
        context = {"hookEventName": "UserPromptSubmit", "additionalContext": f"{found[0]}: {text}"}
        json.dump({"hookSpecificOutput": context}, sys.stdout)


if __name__ == "__main__":
    main()
