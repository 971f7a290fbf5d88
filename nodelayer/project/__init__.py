"""Maintenance of nodelayer itself: releases, the changelog, pinned facts."""
