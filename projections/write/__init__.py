"""The read models as tables: what each append writes."""
