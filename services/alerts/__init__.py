"""Alerts: standing rules over what is remembered, and whoever is told when one comes true."""
