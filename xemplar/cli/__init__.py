"""What the subcommands share: options, messages, environment variables."""
