"""What every layer may use: settings, errors, the own database, secrets, processes."""
