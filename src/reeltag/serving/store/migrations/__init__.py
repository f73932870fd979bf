"""How the tables came to be: one script a revision in `versions`, run in order by alembic."""
