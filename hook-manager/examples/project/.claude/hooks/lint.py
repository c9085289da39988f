#!/usr/bin/env python3
"""PostToolUse, Write and Edit: tells the model at once when what it wrote does not parse or is badly formatted."""
import ast
import json
import sys


def complaints(path: str, text: str) -> list[str]:
    found = []
    if path.endswith(".py"):
        try:
            tree = ast.parse(text)
        except SyntaxError as err:
            return [f"line {err.lineno}: {err.msg}"]
        for node in tree.body:
            public = isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_")
            if public and not ast.get_docstring(node):
                found.append(f"line {node.lineno}: {node.name} has no docstring")
    if path.endswith(".json"):
        try:
            json.loads(text)
        except ValueError as err:
            found.append(str(err))
    for number, line in enumerate(text.split("\n"), 1):
        if line != line.rstrip():
            found.append(f"line {number}: trailing white space")
    return found


def main() -> None:
    tool = json.load(sys.stdin).get("tool_input", {})
    path, text = tool.get("file_path", ""), tool.get("content", tool.get("new_string", ""))
    found = complaints(path, text)
    if found:
        context = f"{path} was written, but: " + "; ".join(found[:10])
        json.dump({"hookSpecificOutput": {"hookEventName": "PostToolUse", "additionalContext": context}}, sys.stdout)


if __name__ == "__main__":
    main()
