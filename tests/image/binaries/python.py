"""Says that it runs, which needs a Python."""

print("Hello")
