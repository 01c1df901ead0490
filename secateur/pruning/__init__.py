"""What every criterion stands on: score, schedule, moment, selection, masks."""
