"""Profiles of measured sessions: recording one, naming a shipped one, replaying it in a run."""
