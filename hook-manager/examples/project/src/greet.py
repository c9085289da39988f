"""A greeting."""


def greet(name: str) -> str:
    """Say hello to somebody."""
    return f"Hello, {name}!"
