"""Answers in the form that clients of other services expect."""
