"""The records: queries over the tables, each within a :class:`ledger.scope.Scope` of one organisation."""
