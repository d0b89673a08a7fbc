"""What the terminal chat remembers: conversations in one SQLite file, and nothing of screens.

`opening.py` opens it. `conversations.py` lists and changes conversations, `tree.py` their messages, which are a tree,
`answers.py` writes an answer down while it comes, and `search.py` finds.
"""
