"""What Ledger's components declare: metrics, alerts, panels and checks, with the runbook beside each."""
