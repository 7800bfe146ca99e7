"""The checks of the book's exercises: one module per chapter prefix, loaded when its first check runs."""
