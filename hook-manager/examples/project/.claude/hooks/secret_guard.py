#!/usr/bin/env python3
"""PreToolUse, Bash, Write and Edit: keeps secrets out of files, and asks before a force push."""
import json
import re
import sys

SECRETS = {
    "an AWS access key": re.compile(r"\bAKIA[0-9A-Z]{16}\b"),
    "a private key": re.compile(r"-----BEGIN (?:[A-Z]+ )?PRIVATE KEY-----"),
    "a GitHub token": re.compile(r"\bgh[pousr]_[A-Za-z0-9]{36}\b"),
}
FORCE_PUSH = re.compile(r"\bgit\s+push\b[^;&|]*\s(?:--force|-f)\b")


def answer(decision: str, reason: str) -> None:
    json.dump(
        {
            "hookSpecificOutput": {
                "hookEventName": "PreToolUse",
                "permissionDecision": decision,
                "permissionDecisionReason": reason,
            }
        },
        sys.stdout,
    )


def main() -> None:
    tool = json.load(sys.stdin).get("tool_input", {})
    text = "\n".join(str(tool.get(field, "")) for field in ("command", "content", "new_string"))
    for what, pattern in SECRETS.items():
        if pattern.search(text):
            return answer("deny", f"this would write {what} in clear text")
    if FORCE_PUSH.search(text):
        return answer("ask", "a force push rewrites what others have pulled")


if __name__ == "__main__":
    main()
