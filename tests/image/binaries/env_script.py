#!/usr/bin/env python3
"""A program that leaves it to env where Python is."""

print("Hello")
