"""Maintaining nodelayer itself: releases, the changelog, pinned facts."""
