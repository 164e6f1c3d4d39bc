"""What the product does, one file per noun; called by the API, the console, the CLI and the jobs."""
