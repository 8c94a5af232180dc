"""Kills, damages, full disks and rivals: what becomes of runs under faults, counted."""
