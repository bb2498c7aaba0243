"""How people ask, one file per kind of question: plain lists, read by `models.nano.phrasings`."""
