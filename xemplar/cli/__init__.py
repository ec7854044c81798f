"""Shared parts of the subcommands: options, messages, environment variables."""
