"""Layer versions in every region: plan, publish, verify, backfill, prune."""
