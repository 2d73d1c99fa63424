"""Thin HTTP: parse, call, return."""
