"""``hhh backup follow|cancel``: a backup under way."""
