"""`atmdepot exercise`: lessons, each with a task and a check of what came of it.

A lesson is a row in `lessons.py` and a module of its own with its steps. A check computes the truth from the running
network or from the student's capture; no answer stands here.
"""
