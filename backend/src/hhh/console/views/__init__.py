"""What pages show that has to be worked out, and what their forms ask for: some modules a room."""
